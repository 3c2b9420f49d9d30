// Package netstack is a link.Device and link.Router that is a TCP/IP stack within the process:
// tunnels without root, and without a trace in the system. Programs dial,
// listen and ping through it.
//
// Contract: queues are bounded; what does not fit is dropped, as on a full
// link. Close ends every connection. A Stack is safe for concurrent use, but
// Read and Write are each for one goroutine, as of any link.Device.
package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nic       = 1
	queue     = 1024 // packets that wait to go out
	batchSize = 64
	minMTU    = 1280 // of IPv6
)

// Stack is the stack and its one interface.
type Stack struct {
	stack  *stack.Stack
	link   *channel.Endpoint
	mtu    int
	ctx    context.Context // ends with the stack
	cancel context.CancelFunc
	close  sync.Once

	mu     sync.Mutex
	own    []netip.Addr // the addresses, in the order in which they came
	routes []route
}

// New makes a stack that has some addresses and reaches every other one
// through its interface. It answers echo requests.
func New(mtu int, addresses ...netip.Addr) (*Stack, error) {
	if mtu < minMTU || mtu > 65535 {
		return nil, fmt.Errorf("MTU %d of the stack; %d to 65535 are possible", mtu, minMTU)
	}
	s := &Stack{mtu: mtu, link: channel.New(queue, uint32(mtu), "")}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	sack := tcpip.TCPSACKEnabled(true)
	if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return nil, fmt.Errorf("stack: %s", err)
	}
	if err := s.stack.CreateNIC(nic, s.link); err != nil {
		return nil, fmt.Errorf("interface of the stack: %s", err)
	}
	for _, a := range addresses {
		if err := s.Add(a); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	return s, nil
}

// maxAddresses bounds the addresses of a stack.
const maxAddresses = 1024

// Add gives the stack another address; one that it has already is no error.
func (s *Stack) Add(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case slices.Contains(s.own, a):
		return nil
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return fmt.Errorf("%s cannot be an address of the stack", a)
	case len(s.own) >= maxAddresses:
		return fmt.Errorf("address %s of the stack: it has %d already", a, maxAddresses)
	}
	p := tcpip.ProtocolAddress{Protocol: protocol(a), AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
	if err := s.stack.AddProtocolAddress(nic, p, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("address %s of the stack: %s", a, err)
	}
	s.own = append(s.own, a)
	return nil
}

func (s *Stack) addresses() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.own)
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// Read gives packets that the stack sends.
func (s *Stack) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	p := s.link.ReadContext(s.ctx)
	n := 0
	for ; p != nil; p = s.link.Read() {
		sizes[n] = fill(bufs[n][offset:], p)
		p.DecRef()
		if n++; n == len(bufs) {
			break
		}
	}
	if n == 0 {
		return 0, os.ErrClosed
	}
	return n, nil
}

// fill copies a packet and gives its length, 0 where there is no room for it.
func fill(b []byte, p *stack.PacketBuffer) int {
	if p.Size() > len(b) {
		return 0
	}
	n := 0
	for _, part := range p.AsSlices() {
		n += copy(b[n:], part)
	}
	return n
}

// Write gives packets to the stack.
func (s *Stack) Write(bufs [][]byte, offset int) (int, error) {
	if s.ctx.Err() != nil {
		return 0, os.ErrClosed
	}
	for _, b := range bufs {
		b = b[offset:]
		if len(b) == 0 {
			continue
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
		switch b[0] >> 4 {
		case 4:
			s.link.InjectInbound(header.IPv4ProtocolNumber, p)
		case 6:
			s.link.InjectInbound(header.IPv6ProtocolNumber, p)
		}
		p.DecRef()
	}
	return len(bufs), nil
}

// MTU gives the MTU.
func (s *Stack) MTU() (int, error) { return s.mtu, nil }

// BatchSize gives how many packets go at once.
func (s *Stack) BatchSize() int { return batchSize }

// Close ends the stack and every connection of it.
func (s *Stack) Close() error {
	s.close.Do(func() {
		s.cancel()
		s.stack.RemoveNIC(nic)
		s.link.Close()
		s.stack.Destroy()
	})
	return nil
}

// full gives an address as the stack wants it.
func full(a netip.AddrPort) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	addr := a.Addr().Unmap()
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(addr.AsSlice()), Port: a.Port()}, protocol(addr)
}

// ErrNetwork says that a network is none that the stack has.
var ErrNetwork = errors.New("the network is neither tcp nor udp")

// DialContext connects through the stack. The network is tcp or udp, and the
// address an IP address with a port.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if s.ctx.Err() != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrClosed}
	}
	to, proto := full(a)
	from := tcpip.FullAddress{NIC: nic}
	if own := s.source(a.Addr().Unmap()); own.IsValid() {
		from.Addr = tcpip.AddrFromSlice(own.AsSlice())
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
		c, err := gonet.DialTCPWithBind(ctx, s.stack, from, to, proto)
		if err != nil {
			return nil, err
		}
		return c, nil
	case "udp", "udp4", "udp6":
		c, err := gonet.DialUDP(s.stack, &from, &to, proto)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: ErrNetwork}
}

// ListenTCP takes TCP connections on an address of the stack.
func (s *Stack) ListenTCP(a netip.AddrPort) (net.Listener, error) {
	at, proto := full(a)
	l, err := gonet.ListenTCP(s.stack, at, proto)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// ListenUDP takes UDP packets on an address of the stack.
func (s *Stack) ListenUDP(a netip.AddrPort) (net.PacketConn, error) {
	at, proto := full(a)
	c, err := gonet.DialUDP(s.stack, &at, nil, proto)
	if err != nil {
		return nil, err
	}
	return c, nil
}
