package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// UDP is the Line to a host over two connected sockets, one for each of its
// ports.
type UDP struct {
	plain, natt *net.UDPConn
	// Timeout is how long the first sending waits for an answer; each further
	// one waits half as long again. Tries is how often a request is sent.
	Timeout time.Duration
	Tries   int
}

// Dial opens the sockets towards a host. Local is the address to send from, the
// zero Addr for the one that the system takes; the ports are the system's too.
func Dial(local, host netip.Addr, port, natt uint16) (*UDP, error) {
	return dial(netip.AddrPortFrom(local, 0), netip.AddrPortFrom(local, 0), netip.AddrPortFrom(host, port), netip.AddrPortFrom(host, natt))
}

// DialAsIKE is Dial from the very ports that an IKE daemon has, where they can be
// had: what a firewall on the way does with those it need not do with others.
func DialAsIKE(host netip.Addr, port, natt uint16) (*UDP, error) {
	own := netip.IPv4Unspecified()
	if host.Is6() {
		own = netip.IPv6Unspecified()
	}
	to, toNATT := netip.AddrPortFrom(host, port), netip.AddrPortFrom(host, natt)
	if u, err := dial(netip.AddrPortFrom(own, wire.PortIKE), netip.AddrPortFrom(own, wire.PortNATT), to, toNATT); err == nil {
		return u, nil
	}
	return Dial(netip.Addr{}, host, port, natt)
}

func dial(plain, natt, toPlain, toNATT netip.AddrPort) (*UDP, error) {
	u := &UDP{Timeout: time.Second, Tries: 3}
	open := func(own, to netip.AddrPort) (*net.UDPConn, error) {
		var from *net.UDPAddr
		if own.Addr().IsValid() {
			from = net.UDPAddrFromAddrPort(own)
		}
		c, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return nil, fmt.Errorf("socket towards %s: %w", to.Addr(), err)
		}
		return c, nil
	}
	var err error
	if u.plain, err = open(plain, toPlain); err != nil {
		return nil, err
	}
	if u.natt, err = open(natt, toNATT); err != nil {
		return nil, errors.Join(err, u.plain.Close())
	}
	return u, nil
}

// Close closes the sockets.
func (u *UDP) Close() error { return errors.Join(u.plain.Close(), u.natt.Close()) }

func (u *UDP) socket(marked bool) *net.UDPConn {
	if marked {
		return u.natt
	}
	return u.plain
}

// Ends gives both ends of a path.
func (u *UDP) Ends(marked bool) (local, remote netip.AddrPort) {
	c := u.socket(marked)
	end := func(a net.Addr) netip.AddrPort {
		p := a.(*net.UDPAddr).AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return end(c.LocalAddr()), end(c.RemoteAddr())
}

// Ask sends a request and waits for its answer.
func (u *UDP) Ask(ctx context.Context, marked bool, request []byte, fits func([]byte) bool) ([]byte, time.Duration, bool, error) {
	c := u.socket(marked)
	if marked {
		request = wire.AppendMarked(nil, request)
	}
	// An end of the context ends a read at once.
	defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })()
	buffer := make([]byte, 65535)
	refused := false
	patience := u.Timeout
	for range u.Tries {
		sent := time.Now()
		if _, err := c.Write(request); err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) {
				refused = true // by the ICMP error of an earlier request
				continue
			}
			if errors.Is(err, fs.ErrPermission) {
				return nil, 0, false, fmt.Errorf("this host's own firewall lets nothing out to %s: %w", c.RemoteAddr(), err)
			}
			return nil, 0, false, fmt.Errorf("sending to %s: %w", c.RemoteAddr(), err)
		}
		if err := c.SetReadDeadline(sent.Add(patience)); err != nil {
			return nil, 0, false, fmt.Errorf("socket towards %s: %w", c.RemoteAddr(), err)
		}
		answer, err := u.read(c, buffer, marked, fits)
		rtt := time.Since(sent)
		switch {
		case ctx.Err() != nil:
			return nil, 0, false, ctx.Err()
		case err == nil:
			return append([]byte(nil), answer...), rtt, false, nil
		case errors.Is(err, syscall.ECONNREFUSED):
			refused = true
		case !isTimeout(err):
			return nil, 0, false, fmt.Errorf("answer of %s: %w", c.RemoteAddr(), err)
		}
		patience += patience / 2
	}
	return nil, 0, refused, nil
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// read takes datagrams until one fits.
func (u *UDP) read(c *net.UDPConn, buffer []byte, marked bool, fits func([]byte) bool) ([]byte, error) {
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return nil, err
		}
		if kind, message := wire.ClassifyUDP(buffer[:n], marked); (kind == wire.UDPIKE || kind == wire.UDPIKEMarked) && fits(message) {
			return message, nil
		}
	}
}
