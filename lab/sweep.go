package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Sweep removes what lab processes that no longer run have left: namespaces,
// and helpers of guests. It gives the names of what it removed.
func Sweep(ctx context.Context) ([]string, error) {
	gone, err := sweepGuests()
	if err != nil {
		return gone, err
	}
	out, err := command(ctx, "ip", "netns", "list")
	if err != nil {
		return gone, err
	}
	for _, line := range strings.Split(out, "\n") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !abandoned(name) {
			continue
		}
		if err := (&NS{Name: name}).Delete(); err != nil {
			return gone, err
		}
		gone = append(gone, "namespace "+name)
	}
	return gone, nil
}

// sweepGuests ends the processes of abandoned guests. Each carries the name of
// its namespace in its arguments.
func sweepGuests() ([]string, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, fmt.Errorf("list of processes: %w", err)
	}
	var gone []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		args := strings.Split(string(text), "\x00")
		if len(args) < 2 || args[0] != inCache("uml/usr/bin/linux.uml") {
			continue
		}
		name, ok := strings.CutPrefix(args[1], "umid=")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if !ok || err != nil || !abandoned(name) {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			return gone, fmt.Errorf("guest process %d: %w", pid, err)
		}
		if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return gone, fmt.Errorf("guest process %d: %w", pid, err)
		}
		gone = append(gone, "guest process "+strconv.Itoa(pid))
	}
	return gone, nil
}

// abandoned says whether a namespace's name is one of the lab's, and the
// process that gave it no longer runs.
func abandoned(name string) bool {
	rest, ok := strings.CutPrefix(name, "cvl")
	if !ok {
		return false
	}
	id, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(id)
	return err == nil && !runs(pid)
}

// runs says whether a process still does anything: one that ended and was not
// yet waited for does not.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, ok := strings.Cut(string(stat), ") ")
	return ok && !strings.HasPrefix(state, "Z")
}
