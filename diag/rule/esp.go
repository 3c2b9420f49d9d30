package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var espRules = []diag.Rule{
	{
		ID:    "esp-one-way-out",
		Needs: []string{"ESP in both directions", "IKE in both directions"},
		After: oneWayCauses,
		Find:  func(f *diag.Facts) []diag.Finding { return oneWay(f, true) },
	},
	{
		ID:    "esp-one-way-in",
		Needs: []string{"ESP in both directions", "IKE in both directions"},
		After: oneWayCauses,
		Find:  func(f *diag.Facts) []diag.Finding { return oneWay(f, false) },
	},
	{
		ID:    "esp-proto50-blocked",
		Needs: []string{"native ESP", "ICMP errors about it"},
		Find:  proto50,
	},
	{
		ID:    "esp-path-loss",
		Needs: []string{"ESP sequence numbers, or our own engine's count of those that did not come", "a source that lost nothing itself"},
		Find:  both(pathLoss, toldLoss),
	},
	{
		ID:    "sha256-96-truncation",
		Needs: []string{"ESP packet lengths in both directions", "the ESP suite, or the IKE suite as a hint"},
		Find:  truncation,
	},
	{
		ID:    "esp-auth-failures",
		Needs: []string{"with keys: integrity checks of ESP"},
		After: []string{"sha256-96-truncation"},
		Find:  both(authFailures, toldDrops("esp-integrity", failedIn, "fail their integrity check: damaged on the way, or other keys")),
	},
	{
		ID:    "replay-drops",
		Needs: []string{"ESP packets that a daemon or our own engine dropped", "ESP sequence numbers"},
		After: []string{"esp-auth-failures"},
		Find:  both(farBehind, toldDrops("esp-replay", replayedIn, "come too late or twice for the replay window")),
	},
	{
		ID:    "seq-exhaustion",
		Needs: []string{"ESP sequence numbers"},
		Find:  exhaustion,
	},
	{
		ID:    "inner-address-outside-ts",
		Needs: []string{"with keys: inner addresses of ESP and the selectors of the CHILD SA"},
		Find:  both(outsideSelectors, toldDrops("", outsideIn, "have inner addresses outside of the selectors")),
	},
}

var oneWayCauses = []string{
	"natt-off-with-nat", "encap-asymmetric", "esp-proto50-blocked", "sha256-96-truncation", "nat-port-rebind-split",
	"dpd-timeout", "esp-auth-failures", "inner-address-outside-ts", "transport-tunnel-mode-mismatch",
}

// Thresholds under which traffic is no evidence.
const (
	oneWayPackets = 4               // packets without any the other way
	oneWaySpan    = 2 * time.Second // over at least this time
	lossPackets   = 50              // packets of a direction that make a rate
	lossMissing   = 5               // missing ones that are more than a few
	lossPercent   = 2
	icvPackets    = 20 // packets of each direction for a judgement by length
	seqNearEnd    = 0xffff0000
	dropsMany     = 10 // packets that a receiver dropped, more than a network now and then makes it do
)

var (
	// A packet that merely came twice is dropped too, and nothing is missing then.
	replayedIn = func(c *engine.ChildSA) uint64 { return min(c.ReplayedIn.Or(0), c.MissingIn.Or(0)) }
	failedIn   = func(c *engine.ChildSA) uint64 { return c.FailedIn.Or(0) }
	outsideIn  = func(c *engine.ChildSA) uint64 { return c.OutsideIn.Or(0) }
)

// traffic counts the ESP packets of an SA, from its initiator and towards it.
func traffic(sa *trace.IKESA) (out, in int64) {
	for _, fl := range sa.Flows {
		if fl.Inbound {
			in += fl.Packets
		} else {
			out += fl.Packets
		}
	}
	return out, in
}

// direction is the ESP traffic from one host to another.
type direction struct {
	flows   []*trace.Flow
	packets int64
	first   time.Time
	last    time.Time
}

func (d *direction) add(fl *trace.Flow) {
	d.flows = append(d.flows, fl)
	d.packets += fl.Packets
	if d.first.IsZero() || fl.First.Before(d.first) {
		d.first = fl.First
	}
	if fl.Last.After(d.last) {
		d.last = fl.Last
	}
}

// directions sorts the flows of a protocol by their two hosts, in order of
// their first packet.
func directions(f *diag.Facts, proto event.Proto) (map[[2]netip.Addr]*direction, [][2]netip.Addr) {
	m := map[[2]netip.Addr]*direction{}
	var order [][2]netip.Addr
	for _, fl := range f.Trace.Flows {
		if fl.Proto != proto {
			continue
		}
		k := [2]netip.Addr{fl.Src.Addr(), fl.Dst.Addr()}
		if m[k] == nil {
			m[k] = &direction{}
			order = append(order, k)
		}
		m[k].add(fl)
	}
	return m, order
}

// owner gives the youngest established IKE SA between two hosts in which both
// were heard, nil where there is none.
func owner(idx peers, a, b netip.Addr) *trace.IKESA {
	l := idx[key(a, b)]
	for i := len(l) - 1; i >= 0; i-- {
		if sa := l[i]; up(sa) && heard(sa, trace.Initiator) && heard(sa, trace.Responder) {
			return sa
		}
	}
	return nil
}

func oneWay(f *diag.Facts, outward bool) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	flows, order := directions(f, event.ESP)
	for _, k := range order {
		way := flows[k]
		if flows[[2]netip.Addr{k[1], k[0]}] != nil || way.packets < oneWayPackets || way.last.Sub(way.first) < oneWaySpan {
			continue
		}
		sa := owner(idx, k[0], k[1])
		if sa == nil || (sa.Local.Host == k[0]) != outward {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Likely
		if gapped(f) {
			d.Confidence = diag.Hint
		}
		for _, fl := range way.flows[:min(len(way.flows), maxListed)] {
			d.Evidence = append(d.Evidence, espEvidence(fl, "ESP"), diag.Evidence{Frame: fl.LastFrame, Time: fl.Last, What: fmt.Sprintf("last packet of SPI %s", fl.SPI)})
		}
		for _, o := range []trace.Origin{trace.Initiator, trace.Responder} {
			if end(sa, o) == host(k[1]) {
				d.Evidence = append(d.Evidence, lastFrom(sa, o))
			}
		}
		d.Summary = fmt.Sprintf("nothing comes back through the tunnel: %d ESP packets from %s to %s over %s, none the other way", way.packets, k[0], k[1], seconds(way.last.Sub(way.first)))
		d.Surer = fmt.Sprintf("the inbound packet counter at %s, or keys: does the inner traffic expect an answer?", k[1])
		found = append(found, span(d))
	}
	return found
}

func proto50(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for i := range f.Trace.ICMP {
		e := &f.Trace.ICMP[i]
		if e.Protocol != 50 || e.MTU != 0 || e.SA == nil || !refusesESP(e) {
			continue
		}
		if out, in := traffic(e.SA); out > 0 && in > 0 {
			continue
		}
		d := about(e.SA)
		d.Confidence = diag.Likely
		d.Evidence = []diag.Evidence{{Frame: e.Frame, Time: e.Time, What: fmt.Sprintf("ICMP from %s about ESP from %s to %s: %s", e.From, e.Src, e.Dst, e.What)}}
		d.Summary = fmt.Sprintf("%s refuses ESP from %s to %s: %s", e.From, e.Src, e.Dst, e.What)
		d.Surer = "a test with UDP encapsulation: does traffic pass then?"
		d.Count = int(min(e.Count, 1<<30))
		found = append(found, span(d))
	}
	return found
}

// refusesESP says that an ICMP error means: this protocol does not pass here
// (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1 and 3.4).
func refusesESP(e *trace.ICMPError) bool {
	if e.V6 {
		return e.Type == 1 && e.Code == 1 || e.Type == 4 && e.Code == 1
	}
	return e.Type == 3 && slices.Contains([]uint8{2, 9, 10, 13}, e.Code)
}

// toldLoss reads what our own engine says of packets that the sequence numbers
// of others show to be missing.
func toldLoss(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range f.Trace.SAs {
		var missing, packets uint64
		var list []diag.Evidence
		for _, c := range sa.Children {
			// What came too late is here, and another matter.
			lost := c.MissingIn.Or(0) - min(c.ReplayedIn.Or(0), c.MissingIn.Or(0))
			packets += c.PacketsIn.Or(0)
			if missing += lost; lost > 0 && len(list) < maxListed {
				list = append(list, diag.Evidence{Time: f.Now, What: fmt.Sprintf("child SA %s, SPI %s: %d packets came, %d between them did not",
					short(c.Name), c.SPIIn.Or(0), c.PacketsIn.Or(0), lost)})
			}
		}
		total := packets + missing
		if packets < lossPackets || missing < lossMissing || missing*100 < lossPercent*total {
			continue
		}
		d := about(sa)
		d.Confidence, d.Evidence = diag.Certain, list
		d.Variant = host(sa.Remote.Host)
		d.Summary = fmt.Sprintf("%.1f %% of the ESP packets from %s to %s do not get here: %d of %d", float64(missing)*100/float64(total), sa.Remote.Host, sa.Local.Host, missing, total)
		found = append(found, d)
	}
	return found
}

func pathLoss(f *diag.Facts) []diag.Finding {
	if gapped(f) {
		return nil // the source lost packets itself
	}
	var found []diag.Finding
	idx := byPeers(f.Trace.SAs)
	flows, order := directions(f, event.ESP)
	for _, k := range order {
		var missing, longest, packets int64
		var list []diag.Evidence
		for _, fl := range flows[k].flows {
			packets += fl.Packets - fl.Duplicates
			missing += fl.Missing
			longest = max(longest, fl.LongestGap)
			if fl.Missing > 0 && len(list) < maxListed {
				list = append(list, diag.Evidence{Frame: fl.FirstFrame, Time: fl.First, What: fmt.Sprintf(
					"SPI %s: sequence numbers %d to %d, %d missing, longest gap %d, %d out of order",
					fl.SPI, fl.FirstSeq, fl.HighSeq, fl.Missing, fl.LongestGap, fl.Reordered)})
			}
		}
		total := packets + missing
		if packets < lossPackets || missing < lossMissing || missing*100 < lossPercent*total {
			continue
		}
		d := diag.Finding{Subject: diag.Subject{Local: host(k[0]), Remote: host(k[1])}, FirstSeen: flows[k].first, LastSeen: flows[k].last}
		if sa := owner(idx, k[0], k[1]); sa != nil {
			d = about(sa)
			d.FirstSeen, d.LastSeen = flows[k].first, flows[k].last
		}
		d.Confidence = diag.Certain
		d.Variant = host(k[0])
		d.Evidence = list
		d.Summary = fmt.Sprintf("%.1f %% of the ESP packets from %s to %s do not get here: %d of %d, at most %d in a row",
			float64(missing)*100/float64(total), k[0], k[1], missing, total, longest)
		if missing > packets {
			// A source that shows every other packet looks the same.
			d.Confidence = diag.Hint
			d.Surer = "that the source is neither sampled nor filtered"
		}
		found = append(found, d)
	}
	return found
}

// icvOf gives the integrity check value's octets that the packet lengths of a
// direction tell for AES-CBC, 0 where they do not agree on one.
func icvOf(flows []*trace.Flow) (icv int, packets int64) {
	var mod [16]int64
	for _, fl := range flows {
		for i, n := range fl.Mod16 {
			mod[i] += n
			packets += n
		}
	}
	switch packets {
	case 0:
		return 0, 0
	case mod[8]: // header 8, IV 16, blocks, 16
		return 16, packets
	case mod[4]: // header 8, IV 16, blocks, 12
		return 12, packets
	}
	return 0, packets
}

func truncation(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		var in, out []*trace.Flow
		suite := sa.Suite
		known := false
		for _, fl := range sa.Flows {
			if fl.Child != nil && fl.Child.Suite.EncrID != 0 {
				suite, known = fl.Child.Suite, true
			}
			if fl.Inbound {
				in = append(in, fl)
			} else {
				out = append(out, fl)
			}
		}
		a, nOut := icvOf(out)
		b, nIn := icvOf(in)
		if suite.EncrID != wire.EncrAESCBC || suite.IntegID != wire.IntegSHA256128 || a == 0 || b == 0 || a == b {
			continue
		}
		if !known && (nOut < icvPackets || nIn < icvPackets) {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Hint
		d.Surer = "keys of the SA (--keys): is it AES-CBC with SHA2-256?"
		if known {
			d.Confidence, d.Surer = diag.Certain, ""
		}
		d.Evidence = []diag.Evidence{
			espEvidence(out[0], fmt.Sprintf("integrity check value of %d octets", a)),
			espEvidence(in[0], fmt.Sprintf("integrity check value of %d octets", b)),
		}
		who := sa.Local.Host
		if b == 12 {
			who = sa.Remote.Host
		}
		d.Summary = fmt.Sprintf("%s truncates SHA2-256 to 96 bit, its peer to 128: neither accepts the other's packets", who)
		found = append(found, span(d))
	}
	return found
}

func authFailures(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, fl := range f.Trace.Flows {
		// Some opened, so the key is right; the others are damaged.
		if fl.Decrypted < 1 || fl.ICVFailed < 3 || fl.SA == nil {
			continue
		}
		d := about(fl.SA)
		d.Confidence = diag.Likely
		d.Severity = diag.Medium
		d.Evidence = []diag.Evidence{espEvidence(fl, "ESP")}
		d.Subject.ChildSPI = fl.SPI.String()
		d.Summary = fmt.Sprintf("%d of %d ESP packets from %s (SPI %s) fail their integrity check with a key that opens the others",
			fl.ICVFailed, fl.ICVFailed+fl.Decrypted, fl.Src.Addr(), fl.SPI)
		d.Surer = otherSideCapture + ": do they leave intact?"
		found = append(found, span(d))
	}
	return found
}

// toldDrops makes the rule on packets that a receiver says it dropped: our own
// engine counts them, and strongSwan's own ESP logs each as a failure of kind.
func toldDrops(kind string, count func(*engine.ChildSA) uint64, what string) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		var found []diag.Finding
		for _, c := range daemonChildren(f) {
			n, came := count(c.ChildSA), c.PacketsIn.Or(0)
			if n < dropsMany || n*100 < lossPercent*(n+came) {
				continue
			}
			d := c.about(f)
			d.Confidence = diag.Certain
			d.Evidence = state(f, "child %s, SPI %s: %d packets came in, %d were dropped", c.Name, d.Subject.ChildSPI, came, n)
			d.Summary = fmt.Sprintf("%d ESP packets from %s %s", n, c.sa.Remote.Host, what)
			found = append(found, d)
		}
		var logged []diag.Evidence
		for i := range f.Trace.Daemon.Failures {
			if l := &f.Trace.Daemon.Failures[i]; l.Kind == kind {
				logged = append(logged, diag.Evidence{Time: l.Time, What: short(l.Text)})
			}
		}
		if len(logged) < dropsMany {
			return found
		}
		d := diag.Finding{Confidence: diag.Likely, Surer: "a capture: which SA the packets are of"}
		if one := daemonChildren(f); len(one) > 0 && sameSA(one) {
			d = about(one[0].sa)
			d.Confidence = diag.Certain
		}
		d.Evidence = logged[:maxListed]
		d.Summary = fmt.Sprintf("the daemon dropped %d ESP packets that %s", len(logged), what)
		return append(found, span(d))
	}
}

// farBehind looks for packets that come so far behind later ones that a replay
// window as receivers have it drops them.
func farBehind(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, fl := range f.Trace.Flows {
		if fl.SA == nil || fl.Late < dropsMany || fl.Late*100 < lossPercent*fl.Packets {
			continue
		}
		d := about(fl.SA)
		d.Confidence, d.Surer = diag.Likely, fmt.Sprintf("the replay window of %s", fl.Dst.Addr())
		d.Subject.ChildSPI = fl.SPI.String()
		d.Variant = host(fl.Src.Addr())
		d.Evidence = []diag.Evidence{espEvidence(fl, "ESP")}
		d.Summary = fmt.Sprintf("%d of %d ESP packets from %s (SPI %s) come more than %d numbers behind later ones: a replay window of that size drops them",
			fl.Late, fl.Packets, fl.Src.Addr(), fl.SPI, trace.LateBy)
		found = append(found, span(d))
	}
	return found
}

func exhaustion(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, fl := range f.Trace.Flows {
		if fl.SA == nil || fl.HighSeq < seqNearEnd || fl.Packets < 2 || fl.Child != nil && fl.Child.Suite.ESN.Or(false) {
			continue
		}
		d := about(fl.SA)
		d.Confidence = diag.Likely
		d.Evidence = []diag.Evidence{{Frame: fl.LastFrame, Time: fl.Last, What: fmt.Sprintf("sequence number %d of SPI %s", fl.HighSeq, fl.SPI)}}
		d.Subject.ChildSPI = fl.SPI.String()
		d.Summary = fmt.Sprintf("sequence numbers from %s (SPI %s) are about to run out: %d", fl.Src.Addr(), fl.SPI, fl.HighSeq)
		d.Surer = "keys of the SA: are extended sequence numbers in use?"
		found = append(found, span(d))
	}
	return found
}

func outsideSelectors(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, fl := range f.Trace.Flows {
		if !fl.Certain || fl.SA == nil || fl.Child == nil || !fl.InnerSrc.IsValid() || !fl.InnerDst.IsValid() {
			continue
		}
		src, dst := fl.Child.LocalTS, fl.Child.RemoteTS
		if fl.Inbound {
			src, dst = dst, src
		}
		outside := ""
		switch {
		case !within(fl.InnerSrc, src):
			outside = fl.InnerSrc.String()
		case !within(fl.InnerDst, dst):
			outside = fl.InnerDst.String()
		default:
			continue
		}
		d := about(fl.SA)
		d.Confidence = diag.Certain
		d.Subject.ChildSPI = fl.SPI.String()
		d.Evidence = []diag.Evidence{espEvidence(fl, fmt.Sprintf("inner packet from %s to %s", fl.InnerSrc, fl.InnerDst))}
		d.Summary = fmt.Sprintf("%s sends a packet from %s to %s through the tunnel, and %s is outside the selectors %s === %s",
			fl.Src.Addr(), fl.InnerSrc, fl.InnerDst, outside, join(src), join(dst))
		found = append(found, span(d))
	}
	return found
}

// within says whether one of the selectors holds an address. A selector that
// is no plain prefix excludes nothing here.
func within(a netip.Addr, ts []string) bool {
	if len(ts) == 0 {
		return true
	}
	for _, s := range ts {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Contains(a) {
			return true
		}
	}
	return false
}
