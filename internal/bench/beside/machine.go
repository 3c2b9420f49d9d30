package beside

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

var (
	modelName    = regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`)
	kernelNumber = regexp.MustCompile(`^Linux version ([0-9.]+)`)
)

// Machine describes what figures are taken on, and how busy it is with all that
// runs on it.
func Machine() string {
	first := func(path string, re *regexp.Regexp) string {
		b, err := os.ReadFile(path)
		if m := re.FindSubmatch(b); err == nil && m != nil {
			return string(m[1])
		}
		return "unknown"
	}
	return fmt.Sprintf("%d CPUs (%s), Linux %s, %s", runtime.NumCPU(), first("/proc/cpuinfo", modelName), first("/proc/version", kernelNumber),
		runtime.Version())
}

// ProcessTime gives the processor time that all threads of a process have used;
// Linux counts it in hundredths of a second for every program (proc(5)).
func ProcessTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, errU := strconv.ParseInt(fields[11], 10, 64)
	system, errS := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(errU, errS)
}

// Resident gives the memory of a process that is in use, in octets.
func Resident(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d tells no VmRSS", pid)
}
