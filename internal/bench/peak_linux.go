package main

import (
	"os"
	"syscall"
)

// peak gives the most memory that an ended process had resident, in octets.
func peak(p *os.ProcessState) int64 {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10 // Linux counts in KiB
	}
	return 0
}
