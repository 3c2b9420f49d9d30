package vici

import (
	"fmt"
	"net"
	"strings"
)

// DefaultSocket is where charon listens unless it is told otherwise.
const DefaultSocket = "/var/run/charon.vici"

// Addr is the address of a daemon's VICI socket.
type Addr struct {
	Network string // unix or tcp
	Address string // path, or host:port
}

// ParseAddr reads the address of a source: "vici" for the default socket,
// "vici:/path", "vici:unix:///path" or "vici:tcp://host:port"; the "vici:" may
// be left out.
func ParseAddr(s string) (Addr, error) {
	rest := s
	if s == "vici" {
		rest = ""
	} else if after, ok := strings.CutPrefix(s, "vici:"); ok {
		rest = after
	}
	path, unix := strings.CutPrefix(rest, "unix://")
	hostPort, tcp := strings.CutPrefix(rest, "tcp://")
	switch {
	case rest == "":
		return Addr{"unix", DefaultSocket}, nil
	case tcp:
		host, port, err := net.SplitHostPort(hostPort)
		if err != nil || host == "" || port == "" {
			return Addr{}, fmt.Errorf("address of VICI %q: want tcp://host:port", s)
		}
		return Addr{"tcp", hostPort}, nil
	case unix || strings.HasPrefix(rest, "/"):
		if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
			return Addr{}, fmt.Errorf("address of VICI %q: want an absolute path of a socket", s)
		}
		return Addr{"unix", path}, nil
	}
	return Addr{}, fmt.Errorf("address of VICI %q: want vici:/path, vici:unix:///path or vici:tcp://host:port", s)
}

// String gives the address as --source takes it: "vici:/run/charon.vici".
func (a Addr) String() string {
	if a.Network == "tcp" {
		return "vici:tcp://" + a.Address
	}
	return "vici:" + a.Address
}
