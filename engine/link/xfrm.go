package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// ErrNoKernelESP says that the kernel does not do ESP, or not for this process.
var ErrNoKernelESP = errors.New("no ESP of the kernel")

// XFRMOptions are how the kernel carries packets.
type XFRMOptions struct {
	// Window is the size of the anti-replay window in packets, 0 for 64.
	Window int
	// Dir is where it is written down what has to be taken back after a crash,
	// "" for the usual place.
	Dir string
}

// XFRM is a data plane of the kernel: it gives each CHILD SA two states and the
// policies that lead traffic to them, and tells what the kernel reports. It is a
// native.DataPlane and a native.Trapper.
//
// All that it sets it takes back when it is closed; what a process that was
// killed has left, the next OpenXFRM or OpenTUN takes back.
type XFRM struct {
	kernel kernel
	window int
	at     Attachment
	stop   chan struct{}
	work   sync.WaitGroup

	mu       sync.Mutex // of what follows
	closed   bool
	children children[*xfrmChild]
	states   map[xfrmID]*xfrmChild // both SAs of each, and of late ones the one that opens
	policies map[xfrmKey]*xfrmSlot
	traps    []*xfrmTrap
	base     uint32 // of the numbers that policies know states by
	last     uint16 // the number given last
}

// kernel is what an XFRM orders of the system. What is to be removed and is gone
// already is no error.
type kernel interface {
	// adopt makes the engine's sockets exempt from all policies, and has the
	// kernel open ESP that comes to the one for ESP in UDP.
	adopt(a *Attachment) error
	addState(s *xfrmState) error
	// updateState changes the ports that ESP in UDP goes between.
	updateState(s *xfrmState) error
	// moveState puts a state in the place of another, with its counters and
	// where its replay window stands.
	moveState(old, s *xfrmState) error
	removeState(id xfrmID) error
	// read gives what one state has carried, and readAll that of all with
	// numbers of this base.
	read(id xfrmID) (xfrmUse, error)
	readAll(base uint32) (map[xfrmID]xfrmUse, error)
	// setPolicy adds a policy or, where it is there already, replaces it.
	setPolicy(k xfrmKey, p *xfrmPolicy, there bool) error
	removePolicy(k xfrmKey) error
	// lead makes remote networks reachable, with an address among the local
	// selectors; each call is undone by unlead.
	lead(local, remote []wire.TrafficSelector, peer netip.Addr) error
	unlead(remote []wire.TrafficSelector, peer netip.Addr) error
	// hold has packets wait that a tunnel comes up for.
	hold() error
	// watch calls f with what the kernel reports until close.
	watch(f func(xfrmEvent))
	// close takes back what is set beside states and policies. Clean says that
	// these are gone, so that nothing is left to be taken back later.
	close(clean bool) error
}

// xfrmUse is what a state has carried.
type xfrmUse struct {
	esp.Count
	last time.Time // zero where the kernel does not tell
}

// xfrmEvent is what the kernel reports.
type xfrmEvent struct {
	kind  xfrmEventKind
	id    xfrmID         // of the state that expired or whose peer moved
	hard  bool           // of expiry
	from  netip.AddrPort // where the peer is now
	reqid uint32         // of the policy that wants a state
}

type xfrmEventKind uint8

const (
	xfrmExpired xfrmEventKind = iota + 1
	xfrmMapping
	xfrmAcquire
)

// xfrmChild is one CHILD SA.
type xfrmChild struct {
	update  ike.Update // as installed, with where it goes now, without keys
	in, out xfrmState
	inbound []xfrmKey // its policies, by what they are about
	forward []xfrmKey
	sent    []xfrmKey
	led     bool
	sending bool
	late    bool // replaced: what is under way is still taken

	soft, hard      bool // told
	lastIn, lastOut time.Time
	inPackets       uint64 // at the last look
	outPackets      uint64
	heardFrom       netip.AddrPort
	heardAt         time.Time
}

// OpenXFRM makes a data plane of the kernel, in the network namespace of the
// calling thread, after it has removed what a process like this one left there
// when it was killed. It needs CAP_NET_ADMIN. An error that wraps ErrNoKernelESP
// says what the kernel does not have.
func OpenXFRM(o XFRMOptions) (*XFRM, error) {
	if o.Dir == "" {
		o.Dir = notesDir
	}
	base := (rand.Uint32N(0x7f00) + 0x100) << 16 // far from the small numbers that other daemons give
	k, err := openKernel(o.Dir, base)
	if err != nil {
		return nil, fmt.Errorf("data plane of the kernel: %w", err)
	}
	return newXFRM(k, o, base), nil
}

func newXFRM(k kernel, o XFRMOptions, base uint32) *XFRM {
	if o.Window == 0 {
		o.Window = 64
	}
	return &XFRM{kernel: k, window: o.Window, base: base, stop: make(chan struct{}), children: children[*xfrmChild]{stand: map[ike.SPIPair]*xfrmChild{}},
		states: map[xfrmID]*xfrmChild{}, policies: map[xfrmKey]*xfrmSlot{}}
}

// Attach has the kernel carry packets for an engine.
func (p *XFRM) Attach(a Attachment) error {
	p.at = a
	if err := p.kernel.adopt(&a); err != nil {
		return err
	}
	p.work.Go(func() { p.kernel.watch(p.event) })
	p.work.Go(p.tick)
	return nil
}

// tick looks after traffic and after replaced SAs.
func (p *XFRM) tick() {
	t := time.NewTicker(heardEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			p.look(now)
		case <-p.stop:
			return
		}
	}
}

// Receive gets no packets: the kernel opens those that come in UDP itself.
func (p *XFRM) Receive([]ESPPacket) {}

// Update does what the engine orders about one CHILD SA.
func (p *XFRM) Update(u *ike.Update) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.children.update(u, orders[*xfrmChild]{p.install, p.send, p.move, p.remove})
}

// install takes a child in. Of one that cannot be, nothing is left.
func (p *XFRM) install(u *ike.Update) error {
	in, out, err := xfrmStates(u, p.reqid(u), p.window)
	if err != nil {
		return err
	}
	c := &xfrmChild{update: *u, in: in, out: out}
	c.update.In, c.update.Out = ike.ESPKeys{}, ike.ESPKeys{}
	if err := c.keys(); err != nil {
		return err
	}
	p.children.stand[u.SPIs] = c
	err = p.begin(c)
	if err == nil && u.Outbound {
		err = p.send(c)
	}
	if err != nil {
		return errors.Join(err, p.remove(c))
	}
	return nil
}

// keys finds which policies a child has.
func (c *xfrmChild) keys() error {
	sent, err := xfrmSelectors(c.update.LocalTS, c.update.RemoteTS)
	if err != nil {
		return err
	}
	for _, s := range sent {
		back := s
		back.src, back.dst = s.dst, s.src
		if s.protocol != protocolICMP && s.protocol != protocolICMPv6 {
			back.srcPort, back.dstPort = s.dstPort, s.srcPort
		}
		c.sent = append(c.sent, xfrmKey{xfrmOut, s})
		c.inbound = append(c.inbound, xfrmKey{xfrmIn, back})
		if !c.update.Transport {
			c.forward = append(c.forward, xfrmKey{xfrmForward, back})
		}
	}
	return nil
}

// begin sets what a child needs to be ready: all but the policies that lead
// packets into it.
func (p *XFRM) begin(c *xfrmChild) error {
	for _, s := range []*xfrmState{&c.in, &c.out} {
		if err := p.kernel.addState(s); err != nil {
			return err
		}
		p.states[s.id()] = c
	}
	for _, keys := range [][]xfrmKey{c.inbound, c.forward} {
		for _, k := range keys {
			if err := p.use(k, c); err != nil {
				return err
			}
		}
	}
	if c.update.Transport {
		return nil // the peer itself is reachable, or there were no tunnel
	}
	if err := p.kernel.lead(c.update.LocalTS, c.update.RemoteTS, c.out.dst); err != nil {
		return err
	}
	c.led = true
	return nil
}

// send makes a child the one that is sent with, instead of what it replaces.
func (p *XFRM) send(c *xfrmChild) error {
	for _, k := range c.sent {
		if err := p.use(k, c); err != nil {
			return err
		}
	}
	c.sending = true
	if old := p.children.stand[c.update.Replaces]; old != nil {
		old.sending, old.late = false, true
	}
	return nil
}

// move follows a peer to another address or port.
func (p *XFRM) move(c *xfrmChild, u *ike.Update) error {
	in, out := c.in, c.out
	in.place(u.Remote, u.Local, u.Encap)
	out.place(u.Local, u.Remote, u.Encap)
	c.update.Local, c.update.Remote, c.update.Encap = u.Local, u.Remote, u.Encap
	if in.src == c.in.src && in.dst == c.in.dst && in.encap == c.in.encap {
		// Ports alone change in place, without a moment in which packets are lost.
		c.in, c.out = in, out
		return errors.Join(p.kernel.updateState(&in), p.kernel.updateState(&out))
	}
	for _, s := range []struct{ old, now *xfrmState }{{&c.in, &in}, {&c.out, &out}} {
		if err := p.kernel.moveState(s.old, s.now); err != nil {
			return err
		}
		delete(p.states, s.old.id())
		p.states[s.now.id()] = c
		*s.old = *s.now
	}
	for _, keys := range [][]xfrmKey{c.inbound, c.forward, c.sent} {
		for _, k := range keys {
			if err := p.settle(k); err != nil {
				return err
			}
		}
	}
	if !c.led {
		return nil
	}
	if err := p.kernel.lead(c.update.LocalTS, c.update.RemoteTS, c.out.dst); err != nil {
		return err
	}
	return p.kernel.unlead(c.update.RemoteTS, c.in.src)
}

// remove forgets a child, whatever of it stands. Of one that was replaced the
// inbound SA stays a moment for what is under way.
func (p *XFRM) remove(c *xfrmChild) error {
	delete(p.children.stand, c.update.SPIs)
	var err error
	for _, keys := range [][]xfrmKey{c.sent, c.inbound, c.forward} {
		for _, k := range keys {
			err = errors.Join(err, p.leave(k, c))
		}
	}
	if c.led {
		c.led = false
		err = errors.Join(err, p.kernel.unlead(c.update.RemoteTS, c.out.dst))
	}
	err = errors.Join(err, p.drop(c, &c.out))
	if c.late && !p.closed {
		gone, ok := p.children.keep(c, time.Now().Unix())
		if !ok {
			return err
		}
		c = gone
	}
	return errors.Join(err, p.drop(c, &c.in))
}

// drop removes a state that was set.
func (p *XFRM) drop(c *xfrmChild, s *xfrmState) error {
	if p.states[s.id()] != c {
		return nil
	}
	delete(p.states, s.id())
	return p.kernel.removeState(s.id())
}

// Close ends all tunnels.
func (p *XFRM) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.stop)
	var err error
	for _, c := range p.children.stand {
		err = errors.Join(err, p.remove(c))
	}
	for _, l := range p.children.late {
		err = errors.Join(err, p.drop(l.child, &l.child.in))
	}
	err = errors.Join(err, p.setTraps(nil))
	p.mu.Unlock()
	err = errors.Join(err, p.kernel.close(err == nil))
	p.work.Wait()
	return err
}
