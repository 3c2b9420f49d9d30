package link

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
)

const (
	// offset is where packets begin in the buffers of the device: behind it is
	// room for an ESP header, and for what a device puts in front.
	offset = 64
	// tail is the most that ESP puts behind a packet.
	tail = 256
	// heardEvery is how often traffic of an SA is told as life.
	heardEvery = time.Second
	// defaultPathMTU is the size of the outer packets.
	defaultPathMTU = 1500
)

// PlaneOptions are how a Plane carries packets.
type PlaneOptions struct {
	// PathMTU is the size in octets of the largest outer packet, 0 for 1500. It
	// is less where the system knows that a path takes less.
	PathMTU int
	// Discover gives what the system knows of the path to an address: the size
	// of the largest packet, 0 where it does not know. It is asked now and then
	// for paths in use; nil for KnownMTU.
	Discover func(remote netip.Addr) int
	// Window is the size of the anti-replay window, 0 for 64.
	Window int
	// ClampMSS lowers the segment size of TCP to what fits.
	ClampMSS bool
	// Cores is how many processors there are to share the work, 0 for all. With
	// more than two, each direction takes more than one.
	Cores int
	// Raw opens a socket for ESP without UDP (IP protocol 50), bound to an
	// address, which may be none of this host's; nil for ListenRaw.
	Raw func(local netip.Addr) (*net.IPConn, error)
}

// Plane is a data plane in user space: it seals what a Device gives, opens what
// the sockets give, and hands one to the other. It is a native.DataPlane.
//
// Packets of one SA keep their order. Each direction has a goroutine of its
// own, and with cores to spare another one, so that several cores carry one
// tunnel.
type Plane struct {
	device Device
	o      PlaneOptions
	at     Attachment
	conn   *batchConn // for ESP in UDP
	raw    *batchConn // for ESP alone; nil before the first child without UDP
	udp    *receiver
	clock  atomic.Int64 // seconds since 1970, good enough for last use
	stop   chan struct{}
	work   sync.WaitGroup
	closed atomic.Bool

	mu       sync.Mutex // of what follows; readers take the pointers
	children children[*planeChild]
	order    []*planeChild // in which they came
	tables   *tables
	trapped  []*planeTrap
	held     holds
	traps    atomic.Pointer[esp.Table[*planeTrap]]
	write    sync.Mutex // of the device
	out      *transmitter

	noSA, noPolicy, unsent, unclaimed atomic.Uint64
}

// planeChild is one CHILD SA.
type planeChild struct {
	update  ike.Update // as installed, without keys
	in      *esp.In
	out     *esp.Out
	sending atomic.Bool
	turn    uint64 // the later it came to send, the higher
	late    bool   // replaced: what is under way is still taken
	path    atomic.Pointer[planePath]

	lastIn, lastOut, told atomic.Int64 // seconds
	soft, hard            atomic.Bool  // told
	softPackets           uint64       // 0 for none
	hardPackets           uint64
	softOctets            uint64
	hardOctets            uint64
}

// planePath is where a child's packets go.
type planePath struct {
	remote netip.AddrPort
	addr   net.Addr // of remote, as sockets want it
	encap  bool
	header int // octets in front of an ESP packet
	room   int // octets of the ESP packets that fit
}

// NewPlane makes a plane over a device, which is its own from then on.
func NewPlane(d Device, o PlaneOptions) (*Plane, error) {
	if o.PathMTU == 0 {
		o.PathMTU = defaultPathMTU
	}
	if o.PathMTU < 576 || o.PathMTU > 65535 {
		return nil, fmt.Errorf("path MTU %d; 576 to 65535 are possible", o.PathMTU)
	}
	if o.Cores == 0 {
		o.Cores = runtime.GOMAXPROCS(0)
	}
	if o.Discover == nil {
		o.Discover = KnownMTU
	}
	if o.Raw == nil {
		o.Raw = ListenRaw
	}
	p := &Plane{device: d, o: o, stop: make(chan struct{}), children: children[*planeChild]{stand: map[ike.SPIPair]*planeChild{}}, tables: newTables()}
	p.traps.Store(esp.NewTable[*planeTrap](nil))
	return p, nil
}

// Attach begins to carry packets for an engine.
func (p *Plane) Attach(a Attachment) error {
	p.at = a
	var err error
	if p.conn, err = shareConn(a.NATT); err != nil {
		return err
	}
	p.udp = p.newReceiver()
	p.out = &transmitter{p: p}
	p.out.udp = newSender(p.conn, p.out.unsent)
	p.clock.Store(time.Now().Unix())
	p.work.Go(p.tick)
	p.work.Go(p.transmit)
	return nil
}

// tick keeps the clock, and what is known of the paths.
func (p *Plane) tick() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			p.second(now.Unix())
		case <-p.stop:
			return
		}
	}
}

// second does what is due at a second.
func (p *Plane) second(now int64) {
	p.clock.Store(now)
	p.mu.Lock()
	for _, c := range p.children.forget(now) {
		p.tables.shut(c)
	}
	p.tables.merge(p.order)
	p.mu.Unlock()
	p.unclaimed.Add(uint64(p.held.expire(now)))
	if now%discoverEvery == 0 {
		p.discoverPaths(now)
	}
}

// Close ends all tunnels and the device.
func (p *Plane) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	close(p.stop)
	var err error
	p.mu.Lock()
	for _, c := range p.children.stand {
		err = errors.Join(err, p.remove(c))
	}
	err = errors.Join(err, p.setTraps(nil))
	for _, c := range []*batchConn{p.conn, p.raw} {
		if c != nil {
			err = errors.Join(err, c.close())
		}
	}
	p.mu.Unlock()
	err = errors.Join(err, p.device.Close())
	p.work.Wait()
	return err
}

// Update does what the engine orders about one CHILD SA.
func (p *Plane) Update(u *ike.Update) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.children.update(u, orders[*planeChild]{p.install, p.send, p.move, p.remove})
}

// install takes a child in.
func (p *Plane) install(u *ike.Update) error {
	cipherOf := func(k ike.ESPKeys) (*suite.ESPCipher, error) {
		return suite.NewESP(u.Transforms.EncrID, u.Transforms.EncrBits, u.Transforms.IntegID, k.Encr, k.Integ, u.Transforms.ESN)
	}
	inCipher, err := cipherOf(u.In)
	if err != nil {
		return err
	}
	outCipher, err := cipherOf(u.Out)
	if err != nil {
		return err
	}
	c := &planeChild{update: *u}
	c.update.In, c.update.Out = ike.ESPKeys{}, ike.ESPKeys{}
	local, remote := u.Local.Addr().Unmap(), u.Remote.Addr().Unmap()
	if c.in, err = esp.NewIn(esp.Config{SPI: u.SPIs.In, Cipher: inCipher, Src: u.RemoteTS, Dst: u.LocalTS, Transport: u.Transport,
		From: remote, To: local, Window: p.o.Window}); err != nil {
		return err
	}
	if c.out, err = esp.NewOut(esp.Config{SPI: u.SPIs.Out, Cipher: outCipher, Src: u.LocalTS, Dst: u.RemoteTS, Transport: u.Transport,
		From: local, To: remote}); err != nil {
		return err
	}
	if err := p.place(c, u); err != nil {
		return err
	}
	c.limits(u)
	if r, ok := p.device.(Router); ok {
		if err := r.Route(u.LocalTS, u.RemoteTS, remote); err != nil {
			return err
		}
	}
	p.children.stand[u.SPIs] = c
	p.order = append(p.order, c)
	p.tables.open(c)
	if u.Outbound {
		return p.send(c)
	}
	return nil
}

// limits takes over how much an SA may carry.
func (c *planeChild) limits(u *ike.Update) {
	l := limitsOf(u)
	c.softOctets, c.hardOctets = l.SoftOctets, l.HardOctets
	c.softPackets, c.hardPackets = l.SoftPackets, l.HardPackets
}

// limitsOf gives how much an SA may carry. Without extended sequence numbers the
// packets are few enough to count on (RFC 4303 3.3.3).
func limitsOf(u *ike.Update) ike.Limits {
	l := u.Limits
	if !u.Transforms.ESN {
		const soon = math.MaxUint32 - 1<<26
		if l.SoftPackets == 0 || l.SoftPackets > soon {
			l.SoftPackets = soon
		}
		if l.HardPackets == 0 || l.HardPackets > math.MaxUint32 {
			l.HardPackets = math.MaxUint32
		}
	}
	return l
}

// place notes where a child's packets go.
func (p *Plane) place(c *planeChild, u *ike.Update) error {
	path := &planePath{remote: netip.AddrPortFrom(u.Remote.Addr().Unmap(), u.Remote.Port()), encap: u.Encap}
	header := 20
	if path.remote.Addr().Is6() {
		header = 40
	}
	if u.Encap {
		path.addr = net.UDPAddrFromAddrPort(path.remote)
		header += 8
	} else {
		path.addr = &net.IPAddr{IP: path.remote.Addr().AsSlice(), Zone: path.remote.Addr().Zone()}
		if err := p.openRaw(); err != nil {
			return err
		}
	}
	path.header = header
	path.room = p.room(path)
	c.path.Store(path)
	return nil
}

// minPathMTU is the smallest path MTU that is believed; all of IPv4 takes it, to
// all ends (RFC 791 3.1).
const minPathMTU = 576

// room gives how large ESP packets may be on a path.
func (p *Plane) room(path *planePath) int {
	mtu := p.o.PathMTU
	if known := p.o.Discover(path.remote.Addr()); known > 0 {
		mtu = min(mtu, max(known, minPathMTU))
	}
	return mtu - path.header
}

// discoverEvery is how often paths in use are looked at, in seconds.
const discoverEvery = 5

// discoverPaths looks at the paths that packets went lately, whether they take
// as much as before.
func (p *Plane) discoverPaths(now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rooms := map[netip.Addr]int{} // with the header, of those that were looked at
	for _, c := range p.order {
		if now-c.lastOut.Load() > discoverEvery {
			continue
		}
		path := *c.path.Load()
		mtu, known := rooms[path.remote.Addr()]
		if !known {
			mtu = p.room(&path) + path.header
			rooms[path.remote.Addr()] = mtu
		}
		if path.room != mtu-path.header {
			path.room = mtu - path.header
			c.path.Store(&path)
		}
	}
}

// openRaw opens the socket for ESP alone.
func (p *Plane) openRaw() error {
	if p.raw != nil {
		return nil
	}
	in, err := p.o.Raw(p.at.Local)
	if err != nil {
		return fmt.Errorf("socket for ESP without UDP: %w", err)
	}
	out, err := p.o.Raw(elsewhere(p.at.Local))
	if err != nil {
		return errors.Join(fmt.Errorf("socket for ESP without UDP: %w", err), in.Close())
	}
	b, err := takeRaw(in, out)
	if err != nil {
		return err
	}
	p.raw = b
	p.work.Go(func() { p.receiveRaw(b) })
	return nil
}

// elsewhere gives an address to which no ESP packet comes from the network. A
// socket that is bound to it is written to and gets nothing to read; one that
// got a copy of every packet would cost as much as the one that is read.
func elsewhere(local netip.Addr) netip.Addr {
	if local.Is6() {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// send makes a child the one that is sent with, instead of what it replaces.
func (p *Plane) send(c *planeChild) error {
	p.tables.send(c, p.order)
	if old := p.children.stand[c.update.Replaces]; old != nil {
		old.late = true
		p.tables.silence(old, p.order)
	}
	p.release()
	return nil
}

// move follows a peer to another address, which has to be reachable too.
func (p *Plane) move(c *planeChild, u *ike.Update) error {
	r, ok := p.device.(Router)
	if peer := u.Remote.Addr().Unmap(); ok && peer != c.path.Load().remote.Addr() {
		if err := r.Route(c.update.LocalTS, c.update.RemoteTS, peer); err != nil {
			return err
		}
		if err := r.Unroute(c.update.LocalTS, c.update.RemoteTS); err != nil {
			return err
		}
	}
	return p.place(c, u)
}

// remove forgets a child. Of one that was replaced packets are taken a moment
// longer.
func (p *Plane) remove(c *planeChild) error {
	delete(p.children.stand, c.update.SPIs)
	if i := slices.Index(p.order, c); i >= 0 {
		p.order = slices.Delete(p.order, i, i+1)
	}
	p.tables.silence(c, p.order)
	if !c.late {
		p.tables.shut(c)
	} else if gone, ok := p.children.keep(c, p.clock.Load()); ok {
		p.tables.shut(gone)
	}
	if r, ok := p.device.(Router); ok {
		return r.Unroute(c.update.LocalTS, c.update.RemoteTS)
	}
	return nil
}

// Traffic gives what a child has carried.
func (p *Plane) Traffic(pair ike.SPIPair) (Traffic, bool) {
	p.mu.Lock()
	c := p.children.stand[pair]
	p.mu.Unlock()
	if c == nil {
		return Traffic{}, false
	}
	at := func(seconds int64) time.Time {
		if seconds == 0 {
			return time.Time{}
		}
		return time.Unix(seconds, 0)
	}
	return Traffic{In: c.in.Read(), Out: c.out.Read(), Missing: c.in.Missing(), LastIn: at(c.lastIn.Load()), LastOut: at(c.lastOut.Load())}, true
}

// Drops are packets that belonged to no tunnel.
type Drops struct {
	UnknownSPI uint64 // ESP packets of no SA that is known
	NoPolicy   uint64 // packets of the device that are for no tunnel
	Unsent     uint64 // packets that a socket did not take
	Unclaimed  uint64 // packets that waited for a tunnel: one that did not come up, or too many of them
}

// Drops counts what belonged to no tunnel.
func (p *Plane) Drops() Drops {
	return Drops{p.noSA.Load(), p.noPolicy.Load(), p.unsent.Load(), p.unclaimed.Load()}
}

// used looks whether a child has used up what it may carry, and tells.
func (p *Plane) used(c *planeChild) {
	in, out := c.in.Read(), c.out.Read()
	packets, octets := max(in.Packets, out.Packets), max(in.Octets, out.Octets)
	over := func(packetLimit, octetLimit uint64) bool {
		return packetLimit > 0 && packets >= packetLimit || octetLimit > 0 && octets >= octetLimit
	}
	if over(c.hardPackets, c.hardOctets) && !c.hard.Swap(true) {
		p.at.Reports.Expired(c.update.SPIs.In, true)
	}
	if over(c.softPackets, c.softOctets) && !c.soft.Swap(true) {
		p.at.Reports.Expired(c.update.SPIs.In, false)
	}
}

// gone says that an error means the end of what was read from.
func gone(err error) bool {
	return errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed)
}
