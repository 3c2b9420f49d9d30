package link_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// patience is how long anything may take on a loaded machine.
const patience = time.Minute

// memory is a Device that a test fills and empties.
type memory struct {
	in     chan []byte
	out    chan []byte
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory {
	return &memory{in: make(chan []byte, 4096), out: make(chan []byte, 8192), closed: make(chan struct{})}
}

func (m *memory) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	take := func(i int, b []byte) { sizes[i] = copy(bufs[i][offset:], b) }
	select {
	case b := <-m.in:
		take(0, b)
	case <-m.closed:
		return 0, os.ErrClosed
	}
	n := 1
	for ; n < len(bufs); n++ {
		select {
		case b := <-m.in:
			take(n, b)
			continue
		default:
		}
		break
	}
	return n, nil
}

func (m *memory) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		m.out <- append([]byte(nil), b[offset:]...)
	}
	return len(bufs), nil
}

func (m *memory) MTU() (int, error) { return 1400, nil }
func (m *memory) BatchSize() int    { return 32 }

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// next gives the packet that comes out next.
func (m *memory) next(t *testing.T) []byte {
	t.Helper()
	select {
	case b := <-m.out:
		return b
	case <-time.After(patience):
		t.Fatal("no packet came out")
		return nil
	}
}

// told keeps what a plane reports.
type told struct {
	mu    sync.Mutex
	heard []netip.AddrPort
	soft  []wire.ESPSPI
	hard  []wire.ESPSPI
	asked []string
}

func (r *told) Acquire(connection, child string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, connection+"/"+child)
}

func (r *told) Heard(_ wire.ESPSPI, from netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, from)
}

func (r *told) Expired(in wire.ESPSPI, hard bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hard {
		r.hard = append(r.hard, in)
	} else {
		r.soft = append(r.soft, in)
	}
}

// side is a plane at one end of a pair.
type side struct {
	*link.Plane
	device *memory
	told   told
	conn   *net.UDPConn
	addr   netip.AddrPort
}

// pair makes two planes that speak to each other over loopback.
func pair(t *testing.T, o link.PlaneOptions) [2]*side {
	t.Helper()
	return pairAt(t, o, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// pairAt makes a pair whose ends share an address of this host.
func pairAt(t *testing.T, o link.PlaneOptions, addr netip.Addr) [2]*side {
	t.Helper()
	var both [2]*side
	for i := range both {
		s := &side{device: newMemory()}
		var err error
		if s.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))); err != nil {
			t.Fatal(err)
		}
		s.addr = s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
		if s.Plane, err = link.NewPlane(s.device, o); err != nil {
			t.Fatal(err)
		}
		if err := s.Attach(link.Attachment{Local: s.addr.Addr(), NATT: s.conn, Reports: &s.told}); err != nil {
			t.Fatal(err)
		}
		read, stop, err := link.NewReader(s.conn)
		if err != nil {
			t.Fatal(err)
		}
		var reader sync.WaitGroup
		reader.Go(func() {
			// A socket of a plane joins datagrams where the system does.
			for {
				packets, err := read()
				if err != nil {
					return
				}
				s.Receive(packets)
			}
		})
		t.Cleanup(func() {
			err := stop()
			reader.Wait()
			if err := errors.Join(err, s.Close(), s.Close()); err != nil {
				t.Error(err)
			}
		})
		both[i] = s
	}
	return both
}

func network(prefix string) []wire.TrafficSelector {
	return []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix(prefix))}
}

// orders are what installs one CHILD SA at both ends of a pair.
func orders(p [2]*side, n uint32) [2]*ike.Update {
	key := func(x byte) ike.ESPKeys {
		b := make([]byte, 36)
		b[0], b[1] = x, byte(n)
		return ike.ESPKeys{Encr: suite.NewSecret(b)}
	}
	a := &ike.Update{Kind: ike.Install, Name: "net", SPIs: ike.SPIPair{In: wire.ESPSPI(0x1000 + n), Out: wire.ESPSPI(0x2000 + n)}, Outbound: true,
		Transforms: ike.ESPTransforms{EncrID: wire.EncrAESGCM16, EncrBits: 256, IntegID: wire.IntegNone}, In: key(1), Out: key(2),
		LocalTS: network("10.1.0.0/16"), RemoteTS: network("10.2.0.0/16"), Local: p[0].addr, Remote: p[1].addr, Encap: true}
	b := *a
	b.SPIs.In, b.SPIs.Out, b.In, b.Out = a.SPIs.Out, a.SPIs.In, a.Out, a.In
	b.LocalTS, b.RemoteTS, b.Local, b.Remote = a.RemoteTS, a.LocalTS, a.Remote, a.Local
	return [2]*ike.Update{a, &b}
}

// install gives both ends a CHILD SA: the second first, as it is with a
// responder, because the first sends what waits at once.
func install(t *testing.T, p [2]*side, u [2]*ike.Update) {
	t.Helper()
	for i := range slices.Backward(p[:]) {
		if err := p[i].Update(u[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// datagram makes an IPv4 packet of UDP from 10.1.0.1 to 10.2.0.1 whose data
// begin with a number.
func datagram(number uint32, size int, df bool) []byte {
	b := make([]byte, 28+max(size, 4))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	if df {
		b[6] = 0x40
	}
	copy(b[12:], []byte{10, 1, 0, 1, 10, 2, 0, 1})
	binary.BigEndian.PutUint32(b[28:], number)
	return b
}

func traffic(t *testing.T, s *side, p ike.SPIPair) link.Traffic {
	t.Helper()
	c, ok := s.Traffic(p)
	if !ok {
		t.Fatalf("nothing is known of %v", p)
	}
	return c
}

func TestPacketsOfOneSAKeepTheirOrder(t *testing.T) {
	for name, cores := range map[string]int{"a core for each direction": 2, "several cores for each direction": 4} {
		t.Run(name, func(t *testing.T) {
			p := pair(t, link.PlaneOptions{Cores: cores})
			u := orders(p, 1)
			install(t, p, u)
			const count = 3000
			for n := uint32(0); n < count; {
				// Bursts of every size; each is let through, so that no socket
				// buffer overflows.
				burst := min(n%67+1, count-n)
				for i := range burst {
					p[0].device.in <- datagram(n+i, int(n+i)%1200, false)
				}
				for i := range burst {
					b := p[1].device.next(t)
					if got := binary.BigEndian.Uint32(b[28:]); got != n+i {
						t.Fatalf("packet %d came where %d was due", got, n+i)
					}
				}
				n += burst
			}
			out, in := traffic(t, p[0], u[0].SPIs), traffic(t, p[1], u[1].SPIs)
			if out.Out.Packets != count || in.In != (esp.Count{Packets: count, Octets: out.Out.Octets}) || in.LastIn.IsZero() || out.LastOut.IsZero() {
				t.Errorf("%+v sent, %+v received", out, in)
			}
			p[1].told.mu.Lock()
			defer p[1].told.mu.Unlock()
			if len(p[1].told.heard) == 0 || p[1].told.heard[0] != p[0].addr {
				t.Errorf("heard from %v, the peer is %s", p[1].told.heard, p[0].addr)
			}
		})
	}
}

func TestASuccessorTakesOverWithoutALostPacket(t *testing.T) {
	p := pair(t, link.PlaneOptions{})
	first := orders(p, 1)
	install(t, p, first)
	n := uint32(0)
	pass := func(count int) {
		t.Helper()
		for range count {
			p[0].device.in <- datagram(n, 100, false)
			if got := binary.BigEndian.Uint32(p[1].device.next(t)[28:]); got != n {
				t.Fatalf("packet %d came where %d was due", got, n)
			}
			n++
		}
	}
	pass(10)
	// The one that asked for it installs it and sends with it once the other
	// has it; both receive with either meanwhile.
	next := orders(p, 2)
	next[0].Outbound, next[0].Replaces, next[1].Replaces = false, first[0].SPIs, first[1].SPIs
	install(t, p, next)
	pass(10)
	if err := p[0].Update(&ike.Update{Kind: ike.Switch, SPIs: next[0].SPIs}); err != nil {
		t.Fatal(err)
	}
	pass(10)
	if old, now := traffic(t, p[0], first[0].SPIs).Out.Packets, traffic(t, p[0], next[0].SPIs).Out.Packets; old != 20 || now != 10 {
		t.Errorf("%d packets went with the old SA, %d with the new one", old, now)
	}
	for i := range p {
		if err := p[i].Update(&ike.Update{Kind: ike.Remove, SPIs: first[i].SPIs}); err != nil {
			t.Fatal(err)
		}
	}
	pass(10)
	if _, ok := p[0].Traffic(first[0].SPIs); ok {
		t.Error("a removed SA is still known")
	}
	if err := p[0].Update(&ike.Update{Kind: ike.Remove, SPIs: first[0].SPIs}); err == nil {
		t.Error("an SA could be removed twice")
	}
}

// TestLatePacketsOfAReplacedSAAreTaken has one end forget an SA while the other
// still sends with it.
func TestLatePacketsOfAReplacedSAAreTaken(t *testing.T) {
	p := pair(t, link.PlaneOptions{})
	first, next := orders(p, 1), orders(p, 2)
	install(t, p, first)
	next[0].Outbound, next[0].Replaces, next[1].Replaces = false, first[0].SPIs, first[1].SPIs
	install(t, p, next)
	remove := func(pair ike.SPIPair) {
		t.Helper()
		if err := p[1].Update(&ike.Update{Kind: ike.Remove, SPIs: pair}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Unix()
	p[1].Second(now)
	remove(first[1].SPIs)
	p[0].device.in <- datagram(7, 100, false)
	if got := binary.BigEndian.Uint32(p[1].device.next(t)[28:]); got != 7 {
		t.Fatalf("packet %d came", got)
	}
	p[1].Second(now + link.LateFor - 1)
	p[0].device.in <- datagram(7, 100, false)
	p[1].device.next(t)
	p[1].Second(now + link.LateFor + 60)
	p[0].device.in <- datagram(7, 100, false)
	wait(t, "a packet that is too late to be dropped", func() bool { return p[1].Drops().UnknownSPI == 1 })
	// What nothing replaced ends at once.
	if err := p[0].Update(&ike.Update{Kind: ike.Switch, SPIs: next[0].SPIs}); err != nil {
		t.Fatal(err)
	}
	remove(next[1].SPIs)
	p[0].device.in <- datagram(8, 100, false)
	wait(t, "a packet of a deleted SA to be dropped", func() bool { return p[1].Drops().UnknownSPI == 2 })
}

func TestUsedUpPacketsAndOctetsAreToldOnceEach(t *testing.T) {
	for name, limits := range map[string]ike.Limits{
		"packets": {SoftPackets: 5, HardPackets: 10},
		"octets":  {SoftOctets: 5 * 128, HardOctets: 10 * 128},
	} {
		t.Run(name, func(t *testing.T) {
			p := pair(t, link.PlaneOptions{})
			u := orders(p, 1)
			u[0].Limits = limits
			install(t, p, u)
			told := func(soft, hard int) {
				t.Helper()
				r := &p[0].told
				wait(t, "the plane to tell", func() bool {
					r.mu.Lock()
					defer r.mu.Unlock()
					return len(r.soft) == soft && len(r.hard) == hard
				})
			}
			for n := range 14 {
				p[0].device.in <- datagram(uint32(n), 100, false)
				p[1].device.next(t)
				switch n + 1 {
				case 4:
					told(0, 0)
				case 5, 9:
					told(1, 0)
				case 10, 14:
					told(1, 1)
				}
			}
		})
	}
}

// wait waits for something to become true.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestWhatDoesNotFitIsAnsweredOrTakenApart(t *testing.T) {
	p := pair(t, link.PlaneOptions{PathMTU: 1000})
	install(t, p, orders(p, 1))
	p[0].device.in <- datagram(1, 1200, true)
	answer := p[0].device.next(t)
	if answer[9] != 1 || answer[20] != 3 || answer[21] != 4 {
		t.Fatalf("the answer is % x", answer[:28])
	}
	mtu := int(binary.BigEndian.Uint16(answer[26:]))
	if mtu < 900 || mtu >= 1000 {
		t.Errorf("packets of %d octets would fit, it says", mtu)
	}
	p[0].device.in <- datagram(2, mtu-28, true)
	if b := p[1].device.next(t); len(b) != mtu {
		t.Errorf("a packet of %d octets came out as %d", mtu, len(b))
	}
	p[0].device.in <- datagram(3, 2000, false)
	got := 0
	for got < 2008 {
		f := p[1].device.next(t)
		if len(f) > mtu {
			t.Errorf("a fragment of %d octets", len(f))
		}
		got += len(f) - 20
	}
	if got != 2008 {
		t.Errorf("the fragments hold %d octets", got)
	}
}

func TestAPathThatTakesLessIsFollowed(t *testing.T) {
	var mtu atomic.Int64
	mtu.Store(1000)
	p := pair(t, link.PlaneOptions{Discover: func(netip.Addr) int { return int(mtu.Load()) }})
	install(t, p, orders(p, 1))
	told := func() int {
		p[0].device.in <- datagram(1, 1400, true)
		answer := p[0].device.next(t)
		if answer[9] != 1 || answer[20] != 3 || answer[21] != 4 {
			t.Fatalf("the answer is % x", answer[:28])
		}
		return int(binary.BigEndian.Uint16(answer[26:]))
	}
	first := told()
	if first < 900 || first >= 1000 {
		t.Errorf("packets of %d octets would fit, it says", first)
	}
	mtu.Store(800)
	wait(t, "the path to be looked at again", func() bool {
		p[0].device.in <- datagram(2, 10, false) // a path in use
		p[1].device.next(t)
		return told() < 800
	})
	mtu.Store(68) // a lie
	wait(t, "the path to be looked at again", func() bool {
		p[0].device.in <- datagram(3, 10, false)
		p[1].device.next(t)
		return told() < 576
	})
	if n := told(); n < 500 {
		t.Errorf("an unbelievable path MTU was believed: %d octets would fit", n)
	}
}

func TestPacketsOfNoTunnelAreCountedAndDropped(t *testing.T) {
	p := pair(t, link.PlaneOptions{})
	u := orders(p, 1)
	install(t, p, u)
	elsewhere := datagram(1, 10, false)
	elsewhere[17] = 99
	for _, b := range [][]byte{elsewhere, {}, {0x45}, {0xff, 0xff}} {
		p[0].device.in <- b
	}
	stranger, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{{1, 2, 3}, {9, 9, 9, 9, 0, 0, 0, 1, 0, 0, 0, 0}} {
		if _, err := stranger.WriteToUDPAddrPort(b, p[1].addr); err != nil {
			t.Fatal(err)
		}
	}
	if err := stranger.Close(); err != nil {
		t.Fatal(err)
	}
	p[0].device.in <- datagram(2, 10, false)
	p[1].device.next(t)
	if d := p[0].Drops(); d.NoPolicy != 4 || d.Unsent != 0 {
		t.Errorf("the sender dropped %+v", d)
	}
	if d := p[1].Drops(); d.UnknownSPI != 2 {
		t.Errorf("the receiver dropped %+v", d)
	}
}

func TestAPeerThatMovesIsToldAtOnceAndFollowedByOrder(t *testing.T) {
	p := pair(t, link.PlaneOptions{})
	u := orders(p, 1)
	install(t, p, u)
	p[0].device.in <- datagram(1, 10, false)
	p[1].device.next(t)
	// The same tunnel, from another port.
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }() // its work is done
	from := other.LocalAddr().(*net.UDPAddr).AddrPort()
	cipher, err := suite.NewESP(wire.EncrAESGCM16, 256, wire.IntegNone, u[0].Out.Encr, suite.Secret{}, false)
	if err != nil {
		t.Fatal(err)
	}
	inner := datagram(2, 10, false)
	packet, err := cipher.Seal(nil, uint32(u[0].SPIs.Out), 100, inner, 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.WriteToUDPAddrPort(packet, p[1].addr); err != nil {
		t.Fatal(err)
	}
	p[1].device.next(t)
	r := &p[1].told
	wait(t, "the new address to be told", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.heard) >= 2 && r.heard[len(r.heard)-1] == from
	})
	if err := p[1].Update(&ike.Update{Kind: ike.Move, SPIs: u[1].SPIs, Local: p[1].addr, Remote: from, Encap: true}); err != nil {
		t.Fatal(err)
	}
	back := datagram(3, 10, false)
	copy(back[12:], []byte{10, 2, 0, 1, 10, 1, 0, 1})
	p[1].device.in <- back
	if err := other.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := other.ReadFromUDPAddrPort(make([]byte, 2000)); err != nil || n <= len(back) {
		t.Errorf("to the new address came %d octets, %v", n, err)
	}
}

// routed is a Device that leads routes, and may refuse to.
type routed struct {
	*memory
	refuse bool
	routes int
}

func (r *routed) Route(_, _ []wire.TrafficSelector, _ netip.Addr) error {
	if r.refuse {
		return errors.New("no route today")
	}
	r.routes++
	return nil
}

func (r *routed) Unroute(_, _ []wire.TrafficSelector) error {
	r.routes--
	return nil
}

func TestRoutesGoWithTheTunnelsAndWithThePlane(t *testing.T) {
	d := &routed{memory: newMemory()}
	s := &side{device: d.memory}
	var err error
	if s.conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.conn.Close() }() // nothing is sent
	s.addr = s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if s.Plane, err = link.NewPlane(d, link.PlaneOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Attach(link.Attachment{Local: s.addr.Addr(), NATT: s.conn, Reports: &s.told}); err != nil {
		t.Fatal(err)
	}
	one, two, three := orders([2]*side{s, s}, 1)[0], orders([2]*side{s, s}, 2)[0], orders([2]*side{s, s}, 3)[0]
	d.refuse = true
	if err := s.Update(one); err == nil || !strings.Contains(err.Error(), "no route today") {
		t.Errorf("a tunnel without its route: %v", err)
	}
	d.refuse = false
	for _, u := range []*ike.Update{one, two} {
		if err := s.Update(u); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Update(&ike.Update{Kind: ike.Remove, SPIs: one.SPIs}); err != nil || d.routes != 1 {
		t.Errorf("%d routes, %v", d.routes, err)
	}
	three.Transport = true
	if err := s.Update(three); err != nil || d.routes != 2 {
		t.Errorf("transport mode over a device that can: %v, %d routes", err, d.routes)
	}
	if err := s.Close(); err != nil || d.routes != 0 {
		t.Errorf("closed: %v, %d routes", err, d.routes)
	}
}

func TestAPlaneOfImpossibleSizeIsRefused(t *testing.T) {
	for _, mtu := range []int{1, 575, 65536} {
		if _, err := link.NewPlane(newMemory(), link.PlaneOptions{PathMTU: mtu}); err == nil {
			t.Errorf("a path MTU of %d was taken", mtu)
		}
	}
}
