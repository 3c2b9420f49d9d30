//go:build !linux

package capture

import (
	"context"
	"errors"
)

// Live captures on a network interface, which is built for Linux only.
func Live(context.Context, string, LiveOptions) (Source, error) {
	return nil, errors.New("live capture needs Linux")
}
