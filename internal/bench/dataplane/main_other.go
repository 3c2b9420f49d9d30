//go:build !linux

// Command dataplane measures what tunnels carry. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: namespaces and TUN devices need Linux")
	os.Exit(1)
}
