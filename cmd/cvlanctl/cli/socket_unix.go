//go:build unix

package cli

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByUs says whether a file belongs to the user that we run as.
func ownedByUs(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(s.Uid) == int64(os.Geteuid())
}
