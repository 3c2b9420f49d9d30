package trace

import (
	"bytes"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// matches says whether one of the hashes is the wanted one.
func matches(want []byte, hashes ...[]byte) Match {
	for _, h := range hashes {
		if bytes.Equal(h, want) {
			return MatchYes
		}
	}
	return MatchNo
}

// natHashes compares the NAT_DETECTION notifies of an IKE_SA_INIT message with
// the addresses that it was seen with.
func (t *Trace) natHashes(m *Message) (p HashPair) {
	p = HashPair{SrcSeen: m.Src, DstSeen: m.Dst}
	for i := range m.Payloads {
		n, ok := m.Payloads[i].Body.(*wire.Notify)
		if !ok {
			continue
		}
		switch n.Type {
		case wire.NotifyNATDetectionSourceIP:
			if len(p.SourceHashes) < 16 {
				p.SourceHashes = append(p.SourceHashes, n.Data)
			}
		case wire.NotifyNATDetectionDestinationIP:
			p.DestHash = n.Data
		}
	}
	p.Seen = len(p.SourceHashes) > 0 && p.DestHash != nil
	if t.options.TablesOnly {
		defer func() { p.SourceHashes, p.DestHash = nil, nil }() // borrowed
	}
	h := &m.Header
	if len(p.SourceHashes) > 0 {
		// A host with several addresses may send a hash for each.
		p.Source = matches(engine.NATHash(h.InitiatorSPI, h.ResponderSPI, m.Src), p.SourceHashes...)
	}
	if p.DestHash != nil {
		p.Destination = matches(engine.NATHash(h.InitiatorSPI, h.ResponderSPI, m.Dst), p.DestHash)
	}
	return p
}

// judgeNAT turns the four comparisons into a verdict. A side is translated
// when its own claim about its source, or the other side's about where it
// sends, differs from what the tap sees.
func (sa *IKESA) judgeNAT() {
	q, r := &sa.NATD.Request, &sa.NATD.Response
	sa.NAT.Local = translated(q.Source, r.Destination, r.Seen)
	sa.NAT.Remote = translated(r.Source, q.Destination, r.Seen)
	local, okL := sa.NAT.Local.Get()
	remote, okR := sa.NAT.Remote.Get()
	if okL && okR || local || remote {
		sa.NAT.Any = engine.Some(local || remote)
	}
}

// translated joins a side's own claim and its peer's view of it; without the
// response, only a mismatch is a verdict.
func translated(own, peers Match, answered bool) engine.Opt[bool] {
	switch {
	case own == MatchNo || peers == MatchNo:
		return engine.Some(true)
	case answered && (own == MatchYes || peers == MatchYes):
		return engine.Some(false)
	}
	return engine.Opt[bool]{}
}
