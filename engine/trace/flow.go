package trace

import (
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// flowKey names an ESP or AH SA: its SPI is the receiver's choice, so it is
// unique towards one address.
type flowKey struct {
	dst   netip.Addr
	spi   wire.ESPSPI
	proto event.Proto
}

// windowBits is the width of the window in which duplicates and late packets
// are told from each other.
const windowBits = 1024

// LateBy is how far behind the highest number a packet is late: beyond a replay
// window of the usual size (RFC 4303 3.4.3), which is 64, or 32 in strongSwan.
const LateBy = 64

// window remembers which of the last sequence numbers were seen.
type window struct {
	seen [windowBits / 64]uint64
}

func (w *window) set(seq uint32)      { w.seen[seq/64%(windowBits/64)] |= 1 << (seq % 64) }
func (w *window) has(seq uint32) bool { return w.seen[seq/64%(windowBits/64)]&(1<<(seq%64)) != 0 }

// advance forgets the numbers that leave the window when its upper edge moves
// from high to seq.
func (w *window) advance(high, seq uint32) {
	if seq-high >= windowBits {
		w.seen = [windowBits / 64]uint64{}
		return
	}
	for s := high + 1; s != seq+1; s++ {
		w.seen[s/64%(windowBits/64)] &^= 1 << (s % 64)
	}
}

// addESP folds one ESP or AH packet into its flow.
func (t *Trace) addESP(e *event.Event, s *event.SecurityPacket) {
	p := e.Packet
	key := flowKey{p.Dst, s.SPI, p.Proto}
	f := t.byFlow[key]
	if f == nil {
		if len(t.Flows) >= t.options.MaxFlows {
			t.Counts.Forgotten++
			return
		}
		f = t.addFlow(e, s, key)
	} else {
		f.sequence(s.Seq)
		if silence := e.Time.Sub(f.Last); silence > f.LongestSilence {
			f.LongestSilence = silence
		}
	}
	f.Packets++
	f.Octets += int64(p.Length)
	f.Last, f.LastFrame = e.Time, e.Frame
	f.Mod16[p.Length&15]++
	f.MaxLength = max(f.MaxLength, p.Length)
	if p.SrcPort != f.Src.Port() || p.Src != f.Src.Addr() {
		f.Src, f.Dst = addrPorts(p)
		f.Encap = p.Encap
	}
	switch {
	case s.Decrypted:
		f.Decrypted++
		if in := s.Inner; in != nil && !f.InnerSrc.IsValid() && in.Src.IsValid() {
			f.InnerSrc, f.InnerDst = in.Src, in.Dst
		}
	case s.DecryptError != "":
		f.DecryptError = s.DecryptError
		f.ICVFailed++
	}
	t.size(f, e, s)
	f.count()
}

// sequence accounts for one more sequence number.
func (f *Flow) sequence(seq uint32) {
	switch ahead := int32(seq - f.HighSeq); {
	case ahead > 0:
		if missed := int64(ahead) - 1; missed > 0 {
			f.Missing += missed
			f.LongestGap = max(f.LongestGap, missed)
		}
		f.advance(f.HighSeq, seq)
		f.HighSeq = seq
		f.set(seq)
	case f.HighSeq-seq < windowBits && (seq >= f.FirstSeq || f.Packets > windowBits):
		if f.has(seq) {
			f.Duplicates++
			return
		}
		f.set(seq)
		f.Reordered++
		if f.HighSeq-seq > LateBy {
			f.Late++
		}
		f.Missing = max(0, f.Missing-1)
	case seq < f.FirstSeq && f.FirstSeq-seq < windowBits && f.Resets == 0:
		// The capture began between packets that had changed places.
		f.Missing += int64(f.FirstSeq-seq) - 1
		f.FirstSeq = seq
		f.set(seq)
		f.Reordered++
	default:
		f.Resets++
		f.window = window{}
		f.HighSeq, f.FirstSeq = seq, seq
		f.set(seq)
	}
}

// addFlow makes the flow of a packet and joins it to its IKE SA.
func (t *Trace) addFlow(e *event.Event, s *event.SecurityPacket, key flowKey) *Flow {
	p := e.Packet
	src, dst := addrPorts(p)
	f := &Flow{
		Proto: p.Proto, SPI: s.SPI, Encap: p.Encap,
		Src: src, Dst: dst,
		First: e.Time, Last: e.Time, FirstFrame: e.Frame,
		FirstSeq: s.Seq, HighSeq: s.Seq,
	}
	f.set(s.Seq)
	t.Flows = append(t.Flows, f)
	t.byFlow[key] = f
	t.join(f, key)
	return f
}

// join finds the IKE SA and the CHILD SA of a flow: by its SPI among the
// children that keys have shown, else the youngest SA between its endpoints or
// its hosts.
func (t *Trace) join(f *Flow, key flowKey) {
	if ref, ok := t.byChild[key]; ok {
		f.attach(ref.sa, ref.child, ref.inbound)
		return
	}
	var sa *IKESA
	if f.Src.Port() != 0 {
		sa = t.byEnds[ends(f.Src, f.Dst)]
	}
	if sa == nil {
		sa = t.saOf(f.Src.Addr(), f.Dst.Addr())
	}
	switch {
	case sa == nil:
	case len(sa.Children) > 0 && !sa.inferred:
		// Its children are known, and this is none of them: perhaps one of
		// an SA before it, but which cannot be told.
		f.SA = sa
	default:
		t.infer(sa, f)
	}
}

// attach joins a flow to a child whose SPIs keys have shown.
func (f *Flow) attach(sa *IKESA, c *engine.ChildSA, inbound bool) {
	f.SA, f.Child, f.Certain, f.Inbound = sa, c, true, inbound
	if len(sa.Flows) < maxSAFlows {
		sa.Flows = append(sa.Flows, f)
	}
}

// infer joins a flow to a child by order of appearance: the first SPI seen in
// each direction belongs to the first child, and so on. A hint, never more.
func (t *Trace) infer(sa *IKESA, f *Flow) {
	inbound := f.Dst.Addr() == sa.Local.Host
	f.SA, f.Inbound = sa, inbound
	if len(sa.Flows) >= maxSAFlows {
		return
	}
	sa.Flows = append(sa.Flows, f)
	sa.inferred = true
	if sa.State == engine.IKEConnecting || sa.State == engine.IKEFailed {
		sa.State = engine.IKEEstablished
	}
	for _, c := range sa.Children {
		slot := &c.SPIOut
		if inbound {
			slot = &c.SPIIn
		}
		if _, taken := slot.Get(); !taken {
			*slot = engine.Some(f.SPI)
			f.Child = c
			return
		}
	}
	c := &engine.ChildSA{
		State:     engine.ChildInstalled,
		Protocol:  protocolName(f.Proto),
		Encap:     engine.Some(f.Encap != event.IP),
		Installed: f.First,
	}
	if inbound {
		c.SPIIn = engine.Some(f.SPI)
	} else {
		c.SPIOut = engine.Some(f.SPI)
	}
	sa.Children = append(sa.Children, c)
	f.Child = c
}

func protocolName(p event.Proto) string {
	if p == event.AH {
		return "AH"
	}
	return "ESP"
}

// count brings the child's counters up to date.
func (f *Flow) count() {
	c := f.Child
	if c == nil {
		return
	}
	if f.Inbound {
		c.PacketsIn, c.BytesIn, c.LastIn = engine.Some(uint64(f.Packets)), engine.Some(uint64(f.Octets)), f.Last
	} else {
		c.PacketsOut, c.BytesOut, c.LastOut = engine.Some(uint64(f.Packets)), engine.Some(uint64(f.Octets)), f.Last
	}
}
