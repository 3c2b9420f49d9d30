package trace

import (
	"hash/maphash"
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Limits on lists that are not per exchange.
const (
	maxICMP      = 1000
	maxLosses    = 1000
	maxGaps      = 1000
	maxTunnels   = 256
	maxRepeats   = 32 // repeats listed per exchange; more are counted
	maxMoves     = 64
	maxVendorIDs = 32
	maxFragments = 64 // IKE fragments of one message that are told apart
	maxSAFlows   = 256
	maxChildren  = 256 // of an SA; those that have ended go first
	notifyWords  = 4   // of 64 bits: see notifyBit
)

// fold is the working state of a Trace.
type fold struct {
	options Options
	seed    maphash.Seed
	bySPI   map[wire.SPI]*IKESA // by initiator SPI; further ones hang on work.collision
	byHosts map[hostPair][]*IKESA
	byEnds  map[endPair]*IKESA // the youngest SA between two UDP or TCP endpoints
	byFlow  map[flowKey]*Flow
	byChild map[flowKey]childRef // the children whose SPIs keys have shown
	// of a daemon, by unique id
	byUnique map[uint32]*IKESA
	lost     []*IKESA // what a daemon had when it went away
	lastSA   *IKESA   // of the last IKE message: most lookups repeat
}

// work is the fold's state about one SA.
type work struct {
	collision *IKESA // next SA with the same initiator SPI
	floated   bool   // has moved to port 4500
	inferred  bool   // children are inferred from flows, not read
	deleting  bool   // a Delete was seen whose subject keys would tell
	notified  [notifyWords]uint64
	waits     [2]waiting                    // of ESP: from the initiator, and towards it
	adopted   map[*engine.ChildSA][]flowKey // where byChild has the SA's children
	liveWork
}

// childRef names one direction of a child.
type childRef struct {
	sa      *IKESA
	child   *engine.ChildSA
	inbound bool
}

// endPair is two endpoints in order.
type endPair struct{ low, high netip.AddrPort }

func ends(a, b netip.AddrPort) endPair {
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return endPair{a, b}
}

// hostPair is two addresses in order.
type hostPair struct{ low, high netip.Addr }

func pair(a, b netip.Addr) hostPair {
	if b.Less(a) {
		a, b = b, a
	}
	return hostPair{a, b}
}

// New makes an empty Trace.
func New(o Options) *Trace {
	setDefault(&o.MaxSAs, 100_000)
	setDefault(&o.MaxFlows, 200_000)
	setDefault(&o.KeepFirst, 32)
	setDefault(&o.KeepLast, 96)
	return &Trace{fold: fold{
		options:  o,
		seed:     maphash.MakeSeed(),
		bySPI:    make(map[wire.SPI]*IKESA),
		byHosts:  make(map[hostPair][]*IKESA),
		byEnds:   make(map[endPair]*IKESA),
		byFlow:   make(map[flowKey]*Flow),
		byChild:  make(map[flowKey]childRef),
		byUnique: make(map[uint32]*IKESA),
	}}
}

func setDefault(v *int, def int) {
	if *v <= 0 {
		*v = def
	}
}

// Add folds one event in. It copies what it keeps.
func (t *Trace) Add(e *event.Event) {
	if !e.Time.IsZero() {
		if t.First.IsZero() || e.Time.Before(t.First) {
			t.First = e.Time
		}
		if e.Time.After(t.Last) {
			t.Last = e.Time
		}
	}
	switch {
	case e.Packet != nil:
		t.addPacket(e)
	case e.ICMP != nil:
		t.addICMP(e)
	case e.Loss != nil:
		t.addLoss(e)
	case e.Table != nil, e.Change != nil, e.Log != nil, e.Alert != nil:
		t.addDaemon(e)
	case e.Check != nil:
		t.addCheck(e.Time, e.Check)
	case e.Step != nil:
		t.addStep(e.Time, e.Step)
	case e.Gap != nil:
		t.lose(e.Gap)
		t.Counts.Dropped += e.Gap.Dropped
		if len(t.Gaps) < maxGaps {
			t.Gaps = append(t.Gaps, Gap{*e.Gap, e.Time, e.Frame})
		}
	}
}

func (t *Trace) addPacket(e *event.Event) {
	p := e.Packet
	t.Counts.Packets++
	for i := range p.Outer {
		t.noticeTunnel(&p.Outer[i])
	}
	switch p.Proto {
	case event.IKEv1:
		t.Counts.IKEv1++
		t.addIKEv1(e)
	case event.IKEv2:
		t.Counts.IKEv2++
		t.addIKEv2(e)
	case event.ESP:
		t.Counts.ESP++
		t.addESP(e, p.ESP)
	case event.AH:
		t.Counts.AH++
		t.addESP(e, p.AH)
	case event.Keepalive:
		t.Counts.Keepalives++
		if sa := t.saOf(p.Src, p.Dst); sa != nil {
			sa.Keepalives++
			sa.LastKeepalive = e.Time
		}
	}
	if p.IKE != nil && p.IKE.Err != nil {
		t.Counts.Malformed++
	}
}

func (t *Trace) noticeTunnel(outer *event.Tunnel) {
	for i := range t.Tunnels {
		if t.Tunnels[i].Tunnel == *outer {
			t.Tunnels[i].Packets++
			return
		}
	}
	if len(t.Tunnels) < maxTunnels {
		t.Tunnels = append(t.Tunnels, Tunnel{*outer, 1})
	}
}

func (t *Trace) addICMP(e *event.Event) {
	for i := range t.ICMP {
		if t.ICMP[i].ICMPError == *e.ICMP {
			t.ICMP[i].Count++
			return
		}
	}
	if len(t.ICMP) < maxICMP {
		sa := t.bySPI[e.ICMP.SPI]
		if sa == nil {
			sa = t.saOf(e.ICMP.Src, e.ICMP.Dst)
		}
		t.ICMP = append(t.ICMP, ICMPError{*e.ICMP, e.Time, e.Frame, sa, 1})
	}
}

func (t *Trace) addLoss(e *event.Event) {
	if len(t.Losses) >= maxLosses {
		return
	}
	l := FragmentLoss{*e.Loss, e.Time, e.Frame, t.bySPI[e.Loss.SPI]}
	l.Frames = slices.Clone(l.Frames)
	if l.SA == nil {
		l.SA = t.saOf(l.Src, l.Dst)
	}
	t.Losses = append(t.Losses, l)
}

// saOf gives the youngest IKE SA between two hosts, nil where there is none.
func (t *Trace) saOf(a, b netip.Addr) *IKESA {
	l := t.byHosts[pair(a, b)]
	if len(l) == 0 {
		return nil
	}
	return l[len(l)-1]
}

// findSA gives the SA that a header belongs to, or nil.
func (t *Trace) findSA(h *wire.Header) *IKESA {
	match := func(sa *IKESA) bool {
		return sa.InitiatorSPI == h.InitiatorSPI &&
			(sa.ResponderSPI == h.ResponderSPI || sa.ResponderSPI == 0 || h.ResponderSPI == 0)
	}
	if sa := t.lastSA; sa != nil && match(sa) {
		return sa
	}
	for sa := t.bySPI[h.InitiatorSPI]; sa != nil; sa = sa.collision {
		if match(sa) {
			t.lastSA = sa
			return sa
		}
	}
	return nil
}

// addSA makes an SA for its first message.
func (t *Trace) addSA(e *event.Event, h *wire.Header, by Origin) *IKESA {
	if len(t.SAs) >= t.options.MaxSAs {
		t.forgetSAs()
	}
	p := e.Packet
	initiator, responder := addrPorts(p)
	if by == Responder {
		initiator, responder = responder, initiator
	}
	sa := &IKESA{
		IKESA: engine.IKESA{
			Version:      h.Version.Major(),
			State:        engine.IKEConnecting,
			InitiatorSPI: h.InitiatorSPI,
			ResponderSPI: h.ResponderSPI,
			Local:        engine.Side{Host: initiator.Addr(), Port: initiator.Port()},
			Remote:       engine.Side{Host: responder.Addr(), Port: responder.Port()},
			Initiator:    engine.Some(true),
		},
		First:      e.Time,
		FirstFrame: e.Frame,
	}
	sa.collision = t.bySPI[h.InitiatorSPI]
	t.bySPI[h.InitiatorSPI] = sa
	t.SAs = append(t.SAs, sa)
	t.lastSA = sa
	key := pair(initiator.Addr(), responder.Addr())
	t.byHosts[key] = append(t.byHosts[key], sa)
	t.byEnds[ends(initiator, responder)] = sa
	return sa
}

// reindex makes an SA known under a new pair of addresses too; the last one
// indexed is the one that saOf finds.
func (t *Trace) reindex(sa *IKESA, a, b netip.Addr) {
	key := pair(a, b)
	l := t.byHosts[key]
	if i := slices.Index(l, sa); i >= 0 {
		l = slices.Delete(l, i, i+1)
	}
	t.byHosts[key] = append(l, sa)
}

// touch notes one more message of an SA.
func (sa *IKESA) touch(e *event.Event) {
	sa.Last, sa.LastFrame = e.Time, e.Frame
	sa.Messages++
	sa.Octets += int64(e.Packet.Length)
}

// forgetSAs drops the tenth of the SAs that has been silent longest.
func (t *Trace) forgetSAs() {
	bySilence := slices.Clone(t.SAs)
	slices.SortFunc(bySilence, func(a, b *IKESA) int { return a.Last.Compare(b.Last) })
	drop := make(map[*IKESA]bool)
	for _, sa := range bySilence[:len(bySilence)/10+1] {
		drop[sa] = true
	}
	t.SAs = slices.DeleteFunc(t.SAs, func(sa *IKESA) bool { return drop[sa] })
	t.Counts.Forgotten += int64(len(drop))
	t.lastSA = nil
	clear(t.bySPI)
	for _, sa := range t.SAs {
		sa.collision = t.bySPI[sa.InitiatorSPI]
		t.bySPI[sa.InitiatorSPI] = sa
		if drop[sa.Predecessor] {
			sa.Predecessor = nil
		}
		if drop[sa.Successor] {
			sa.Successor = nil
		}
	}
	for key, l := range t.byHosts {
		l = slices.DeleteFunc(l, func(sa *IKESA) bool { return drop[sa] })
		if len(l) == 0 {
			delete(t.byHosts, key)
		} else {
			t.byHosts[key] = l
		}
	}
	for key, sa := range t.byEnds {
		if drop[sa] {
			delete(t.byEnds, key)
		}
	}
	for key, ref := range t.byChild {
		if drop[ref.sa] {
			delete(t.byChild, key)
		}
	}
	t.forgetLive(drop)
	for _, f := range t.Flows {
		if drop[f.SA] {
			f.SA, f.Child = nil, nil
		}
	}
	for i := range t.ICMP {
		if drop[t.ICMP[i].SA] {
			t.ICMP[i].SA = nil
		}
	}
	for i := range t.Losses {
		if drop[t.Losses[i].SA] {
			t.Losses[i].SA = nil
		}
	}
}
