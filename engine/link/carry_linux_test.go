package link

import (
	"net"
	"net/netip"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// sink is a Device that gives nothing and takes everything.
type sink struct{ closed chan struct{} }

func (s sink) Read([][]byte, []int, int) (int, error) {
	<-s.closed
	return 0, net.ErrClosed
}
func (sink) Write(b [][]byte, _ int) (int, error) { return len(b), nil }
func (sink) MTU() (int, error)                    { return 1400, nil }
func (sink) BatchSize() int                       { return 64 }
func (s sink) Close() error                       { close(s.closed); return nil }

type deaf struct{}

func (deaf) Heard(wire.ESPSPI, netip.AddrPort) {}
func (deaf) Expired(wire.ESPSPI, bool)         {}
func (deaf) Acquire(string, string)            {}

// loop is a plane whose one child sends to itself, as far as its transmitter and
// a receiver are concerned.
type loop struct {
	*transmitter
	*receiver
	child *planeChild
	batch *outgoing
}

const perBatch = 64

func newLoop(t testing.TB) *loop {
	t.Helper()
	// What is sent comes to a socket that nobody reads, and is lost there.
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlane(sink{make(chan struct{})}, PlaneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := p.Attach(Attachment{Local: addr.Addr(), NATT: c, Reports: deaf{}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	all := []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix("10.0.0.0/8"))}
	key := ike.ESPKeys{Encr: suite.NewSecret(make([]byte, 36))}
	pair := ike.SPIPair{In: 0x1000, Out: 0x1000}
	if err := p.Update(&ike.Update{Kind: ike.Install, Name: "net", SPIs: pair, Outbound: true, In: key, Out: key, Encap: true,
		Transforms: ike.ESPTransforms{EncrID: wire.EncrAESGCM16, EncrBits: 256, IntegID: wire.IntegNone},
		LocalTS:    all, RemoteTS: all, Local: addr, Remote: addr}); err != nil {
		t.Fatal(err)
	}
	l := &loop{transmitter: p.out, receiver: p.newReceiver(), child: p.children.stand[pair], batch: &outgoing{n: perBatch}}
	for range perBatch {
		l.batch.bufs, l.batch.sizes = append(l.batch.bufs, make([]byte, offset+maxDatagram+tail)), append(l.batch.sizes, 1400)
	}
	return l
}

// packet writes a packet of 1400 octets in place of the one that was sealed there.
func packet(b []byte) []byte {
	copy(b[offset:], []byte{0x45, 0, 1400 >> 8, 1400 & 255, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	return b[offset : offset+1400]
}

// send seals and sends a batch.
func (l *loop) send() {
	for _, b := range l.batch.bufs {
		packet(b)
	}
	l.transmitter.batch(l.batch)
}

// sealed gives packets as reads give them, a batch each.
func (l *loop) sealed(t testing.TB, batches int) [][]ESPPacket {
	t.Helper()
	list := make([][]ESPPacket, batches)
	var h esp.Packet
	for i := range list {
		for range perBatch {
			b := packet(l.batch.bufs[0])
			if err := esp.ParsePacket(b, &h); err != nil {
				t.Fatal(err)
			}
			octets, err := l.child.out.Seal(nil, b, &h)
			if err != nil {
				t.Fatal(err)
			}
			list[i] = append(list[i], ESPPacket{Remote: l.child.path.Load().remote, Octets: octets})
		}
	}
	return list
}

func TestPacketsAreCarriedWithoutAllocation(t *testing.T) {
	const runs = 50
	for name, carry := range map[string]func(*loop) func(){
		"sealed and sent": func(l *loop) func() { return l.send },
		"opened": func(l *loop) func() {
			list := l.sealed(t, runs+1) // one more is to warm up
			return func() {
				l.receiver.take(list[0])
				list = list[1:]
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			n := testing.AllocsPerRun(runs, carry(l))
			// A system call may take what it needs from a pool that the collector has emptied.
			if n > perBatch/8 {
				t.Errorf("%g allocations for %d packets", n, perBatch)
			}
			if c := l.child.in.Read(); name == "opened" && c.Packets != (runs+1)*perBatch {
				t.Errorf("the receiver counts %+v", c)
			}
		})
	}
}

func BenchmarkSealAndSend(b *testing.B) {
	l := newLoop(b)
	b.ReportAllocs()
	b.SetBytes(1400 * perBatch)
	for b.Loop() {
		l.send()
	}
}

func BenchmarkOpen(b *testing.B) {
	l := newLoop(b)
	b.ReportAllocs()
	b.SetBytes(1400 * perBatch)
	const batches = 512
	b.StopTimer()
	for n := 0; n < b.N; n += batches {
		list := l.sealed(b, min(batches, b.N-n))
		b.StartTimer()
		for _, packets := range list {
			l.receiver.take(packets)
		}
		b.StopTimer()
	}
}
