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
	// Engine says that our own engine listens there: it is asked for more than
	// VICI has words for.
	Engine bool
}

// ParseAddr reads the address of a source: "vici" for the default socket,
// "vici:/path", "vici:unix:///path" or "vici:tcp://host:port"; the "vici:" may
// be left out. With "engine:" in its place it is that of our own engine, which
// has no default here.
func ParseAddr(s string) (Addr, error) {
	rest, engine := s, false
	if s == "vici" {
		rest = ""
	} else if after, ok := strings.CutPrefix(s, "vici:"); ok {
		rest = after
	} else if after, ok := strings.CutPrefix(s, "engine:"); ok && after != "" {
		rest, engine = after, true
	}
	path, unix := strings.CutPrefix(rest, "unix://")
	hostPort, tcp := strings.CutPrefix(rest, "tcp://")
	switch {
	case rest == "":
		return Addr{Network: "unix", Address: DefaultSocket}, nil
	case tcp:
		host, port, err := net.SplitHostPort(hostPort)
		if err != nil || host == "" || port == "" {
			return Addr{}, fmt.Errorf("address of VICI %q: want tcp://host:port", s)
		}
		return Addr{Network: "tcp", Address: hostPort, Engine: engine}, nil
	case unix || strings.HasPrefix(rest, "/"):
		if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
			return Addr{}, fmt.Errorf("address of VICI %q: want an absolute path of a socket", s)
		}
		return Addr{Network: "unix", Address: path, Engine: engine}, nil
	}
	return Addr{}, fmt.Errorf("address of VICI %q: want vici:/path, vici:unix:///path or vici:tcp://host:port", s)
}

// String gives the address as --source takes it: "vici:/run/charon.vici".
func (a Addr) String() string {
	kind := "vici:"
	if a.Engine {
		kind = "engine:"
	}
	if a.Network == "tcp" {
		kind += "tcp://"
	}
	return kind + a.Address
}
