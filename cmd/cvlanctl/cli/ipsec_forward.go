package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// forward is one way from a local listener through the tunnel.
type forward struct{ local, remote string }

func (o *HereOptions) forwards() ([]forward, error) {
	var list []forward
	for _, s := range o.Forward {
		// LOCAL may be a port, or an address and a port; REMOTE is an address
		// and a port, with brackets for IPv6.
		cut := strings.LastIndex(s, ":")
		if cut > 0 {
			if cut = strings.LastIndex(s[:cut], ":"); strings.Contains(s[cut+1:], "]:") {
				cut = strings.LastIndex(s, ":[")
			}
		}
		if cut <= 0 {
			return nil, usagef("--forward %q is not LOCAL:REMOTE, such as 8080:10.2.0.1:80", s)
		}
		f := forward{s[:cut], s[cut+1:]}
		if !strings.Contains(f.local, ":") {
			f.local = "127.0.0.1:" + f.local
		}
		if _, err := netip.ParseAddrPort(f.remote); err != nil {
			return nil, usagef("--forward %q: %s is not an IP address with a port", s, f.remote)
		}
		if _, err := netip.ParseAddrPort(f.local); err != nil {
			return nil, usagef("--forward %q: %s is not a port, or an address with a port", s, f.local)
		}
		list = append(list, f)
	}
	return list, nil
}

// maxForwarded bounds the connections of one forward at a time.
const maxForwarded = 256

// accept carries TCP connections through the tunnel until the listener ends.
// More than there is room for wait in the system's queue.
func (h *here) accept(ctx context.Context, l net.Listener, remote string) {
	room := make(chan struct{}, maxForwarded)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-room }()
			if err := h.carry(ctx, c, remote); err != nil && ctx.Err() == nil {
				fmt.Fprintf(h.app.Term.Err, "cvlanctl: connection to %s: %s\n", remote, cleaned(err.Error()))
			}
		}()
	}
}

// carry joins a connection with one through the tunnel.
func (h *here) carry(ctx context.Context, near net.Conn, remote string) error {
	defer func() { _ = near.Close() }() // the other direction has told all there is
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	far, err := h.stack.DialContext(limited, "tcp", remote)
	if err != nil {
		return err
	}
	defer func() { _ = far.Close() }()
	done := make(chan error, 2)
	half := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if w, ok := to.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite() // it may be closed altogether
		}
		done <- err
	}
	go half(far, near)
	go half(near, far)
	for range 2 {
		select {
		case err = <-done:
		case <-ctx.Done():
			return nil
		}
	}
	return err
}
