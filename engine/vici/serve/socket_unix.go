//go:build unix

package serve

import (
	"errors"
	"syscall"
)

// refused says whether a socket is there on which nobody listens.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
