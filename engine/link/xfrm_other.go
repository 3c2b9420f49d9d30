//go:build !linux

package link

import "fmt"

// notesDir is not used here.
const notesDir = ""

// openKernel needs Linux.
func openKernel(string, uint32) (kernel, error) {
	return nil, fmt.Errorf("%w: this program uses the one of Linux only; a stack within the process (--netstack) works everywhere", ErrNoKernelESP)
}
