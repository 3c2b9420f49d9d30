package rule

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const childNeeds = "IKE_AUTH responses: first inner payload and length; with keys their notifies, and those of CREATE_CHILD_SA"

var childRules = []diag.Rule{
	childRule("ts-unacceptable", wire.NotifyTSUnacceptable),
	childRule("no-proposal-child-initial", wire.NotifyNoProposalChosen),
	childRule("internal-address-failure", wire.NotifyInternalAddressFailure),
	childRule("cp-required-or-missing", wire.NotifyFailedCPRequired),
	childRule("ts-multi-subnet-unsupported", wire.NotifySinglePairRequired),
	childRule("no-additional-sas", wire.NotifyNoAdditionalSAs),
	{
		ID:    "ts-narrowed-surprise",
		Needs: []string{"with keys: TS payloads of request and response"},
		After: []string{"ts-any-vs-proxy-id"},
		Find:  narrowed,
	},
	{
		ID:    "transport-tunnel-mode-mismatch",
		Needs: []string{"with keys: USE_TRANSPORT_MODE in request and response"},
		Find:  modeMismatch,
	},
}

func childRule(id string, n wire.NotifyType) diag.Rule {
	return diag.Rule{ID: id, Needs: []string{childNeeds}, Find: func(f *diag.Facts) []diag.Finding { return childRefused(f, n) }}
}

// childRefused reports the exchanges in which the peer refused a CHILD SA
// with the given notify. Without keys two notifies look alike; each of their
// rules then says so.
func childRefused(f *diag.Facts, typ wire.NotifyType) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		for _, x := range sa.Exchanges {
			m := x.Response
			switch {
			case m == nil:
			case m.Decrypted && refusesChild(x, typ):
				found = append(found, refusedOpen(sa, x, typ))
			case !m.Decrypted && (typ == wire.NotifyTSUnacceptable || typ == wire.NotifyNoProposalChosen) && shortAuth(sa, x):
				found = append(found, refusedSealed(sa, x, typ))
			}
		}
	}
	return found
}

// refusesChild says that an opened response refuses the child with the given
// notify.
func refusesChild(x *trace.Exchange, typ wire.NotifyType) bool {
	switch x.Type {
	case wire.ExchangeIKEAuth:
		// Beside an AUTH payload the IKE SA stands; some peers send the
		// notify alone and refuse both.
	case wire.ExchangeCreateChildSA:
		// Rekeys have rules of their own, but for what means the same there.
		if x.Purpose != trace.PurposeChild && typ == wire.NotifyNoProposalChosen {
			return false
		}
	default:
		return false
	}
	return x.Response.Notify(typ) != nil
}

func refusedOpen(sa *trace.IKESA, x *trace.Exchange, typ wire.NotifyType) diag.Finding {
	d := about(sa)
	d.Confidence = diag.Certain
	m := x.Response
	d.Evidence = []diag.Evidence{at(m, "%s response: N(%s)", x.Type, typ)}
	who := m.Src.Addr()
	asked := ""
	if opened(x.Request) {
		switch typ {
		case wire.NotifyTSUnacceptable, wire.NotifySinglePairRequired:
			// A daemon's log names the payloads and not what is in them.
			if ours, theirs := selectorText(x.Request, wire.PayloadTSi), selectorText(x.Request, wire.PayloadTSr); ours != "" && theirs != "" {
				asked = ours + " === " + theirs
			}
		case wire.NotifyNoProposalChosen:
			asked = listProposals(proposals(x.Request))
		}
		if asked != "" {
			d.Evidence = append([]diag.Evidence{at(x.Request, "asked for %s", asked)}, d.Evidence...)
		}
	}
	switch typ {
	case wire.NotifyTSUnacceptable:
		d.Summary = strings.TrimSpace(fmt.Sprintf("%s refuses the traffic selectors %s", who, asked))
		if ours, theirs := selectorText(x.Request, wire.PayloadTSi), selectorText(x.Request, wire.PayloadTSr); ours != "" && theirs != "" {
			d.Remedies = instead("ts-unacceptable",
				swan("responder", "connections.<c>.children.<k>.local_ts = %s; remote_ts = %s", commas(theirs), commas(ours)),
				diag.Remedy{Side: "initiator", Platform: "any", Change: "Or propose what the responder is configured for: its local networks as remote ones, its remote ones as local."})
		}
	case wire.NotifyNoProposalChosen:
		if words := strong(proposals(x.Request), weakESP); words != "" {
			d.Remedies = instead("no-proposal-child-initial",
				swan("responder", "connections.<c>.children.<k>.esp_proposals = %s", words),
				diag.Remedy{Side: "initiator", Platform: "any", Change: "Or propose what the responder has for ESP."})
		}
		d.Summary = strings.TrimSpace(fmt.Sprintf("%s refuses the ESP proposals %s", who, asked))
	case wire.NotifyInternalAddressFailure:
		d.Summary = fmt.Sprintf("%s has no virtual IP for %s", who, m.Dst.Addr())
	case wire.NotifyFailedCPRequired:
		d.Summary = fmt.Sprintf("%s insists that %s asks for a virtual IP", who, m.Dst.Addr())
	case wire.NotifySinglePairRequired:
		d.Summary = fmt.Sprintf("%s takes one pair of selectors for each CHILD SA; asked was %s", who, asked)
	case wire.NotifyNoAdditionalSAs:
		d.Summary = fmt.Sprintf("%s accepts no further CHILD SA in this IKE SA", who)
	}
	switch {
	case later(sa, x):
		d.Severity = diag.Low
		d.Summary += "; a later attempt succeeded"
	case x.Type == wire.ExchangeIKEAuth && wire.First(m.Payloads, wire.PayloadAuth) == nil:
		d.Summary += ", and the IKE SA with it"
	case x.Type == wire.ExchangeIKEAuth:
		d.Summary += "; the IKE SA is up without a CHILD SA"
	}
	return span(d)
}

// commas writes selectors as a list of swanctl.conf.
func commas(selectors string) string { return strings.ReplaceAll(selectors, " ", ",") }

// later says that a CHILD SA was agreed after x.
func later(sa *trace.IKESA, x *trace.Exchange) bool {
	for _, o := range sa.Exchanges {
		if o.Type == wire.ExchangeCreateChildSA && o.Response != nil && x.Response != nil && o.Response.Time.After(x.Response.Time) &&
			(o.Response.First == wire.PayloadSA || proposals(o.Response) != nil) {
			return true
		}
	}
	return false
}

// Least lengths in octets of what a good IKE_AUTH response holds after a
// shared key authentication (RFC 7296 3.3, 3.5, 3.8, 3.13): any identity that
// names something, an ESP proposal of two transforms, two IPv4 selectors.
const (
	leastID       = 8 + 4
	leastAuth     = 8
	leastProposal = 4 + 8 + 4 + 8 + 8
	leastTS       = 2 * (8 + 16)
)

// shortAuth says that a sealed IKE_AUTH response grants the IKE SA and is too
// short to hold a CHILD SA, although the request was long enough to ask for
// one, and that no ESP followed.
func shortAuth(sa *trace.IKESA, x *trace.Exchange) bool {
	m := x.Response
	if x.Type != wire.ExchangeIKEAuth || m.First != wire.PayloadIDr || len(sa.Auth) != 1 || len(sa.Flows) > 0 || rejectedPeer(sa) != nil {
		return false
	}
	prf := prfLength(sa.Suite)
	have, ok := inside(sa, m)
	if !ok || prf == 0 {
		return false
	}
	least := leastID + leastAuth + prf + leastProposal + leastTS
	// A request of one piece that could not have asked for a child either
	// means a childless IKE SA.
	if asked, ok := inside(sa, x.Request); ok && asked.most < least {
		return false
	}
	return have.most < least
}

func refusedSealed(sa *trace.IKESA, x *trace.Exchange, typ wire.NotifyType) diag.Finding {
	m := x.Response
	d := about(sa)
	d.Confidence = diag.Hint
	d.Evidence = []diag.Evidence{at(m, "IKE_AUTH response of %d octets: IDr first, no room for an SA and selectors, no ESP afterwards", m.Length)}
	why, other := "no ESP proposal in common", "no traffic selectors"
	if typ == wire.NotifyTSUnacceptable {
		why, other = "no traffic selectors in common", "no ESP proposal"
	}
	d.Summary = fmt.Sprintf("%s grants the IKE SA and refuses the CHILD SA: %s, or else %s (without keys both look the same)", m.Src.Addr(), why, other)
	d.Surer = "keys of the SA (--keys), or the responder's log"
	if later(sa, x) {
		d.Severity = diag.Low
		d.Summary += "; a later attempt succeeded"
	}
	return span(d)
}

// selectors gives the traffic selectors of a TS payload.
func selectors(m *trace.Message, typ wire.PayloadType) []wire.TrafficSelector {
	if m == nil {
		return nil
	}
	p := wire.First(m.Payloads, typ)
	if p == nil {
		return nil
	}
	if ts, ok := p.Body.(*wire.TS); ok {
		return ts.Selectors
	}
	return nil
}

func selectorText(m *trace.Message, typ wire.PayloadType) string {
	var parts []string
	list := selectors(m, typ)
	for i := range list {
		if len(parts) == maxListed {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, list[i].String())
	}
	return strings.Join(parts, " ")
}

func narrowed(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		for _, x := range sa.Exchanges {
			if !opened(x.Request) || !opened(x.Response) || x.Type != wire.ExchangeIKEAuth && x.Purpose != trace.PurposeChild {
				continue
			}
			// A client with a virtual IP asks for everything and gets its
			// address: that is how it is meant.
			if wire.First(x.Request.Payloads, wire.PayloadCP) != nil {
				continue
			}
			for _, typ := range []wire.PayloadType{wire.PayloadTSi, wire.PayloadTSr} {
				lost := leftOut(selectors(x.Request, typ), selectors(x.Response, typ))
				if len(lost) == 0 {
					continue
				}
				d := about(sa)
				d.Confidence = diag.Certain
				// Narrowing is how IKEv2 finds the common part: what was
				// wanted, only the configuration knows.
				d.Severity = diag.Info
				d.Evidence = []diag.Evidence{
					at(x.Request, "%s: %s", typ, selectorText(x.Request, typ)), at(x.Response, "%s: %s", typ, selectorText(x.Response, typ)),
				}
				if apart(selectors(x.Request, typ), selectors(x.Response, typ)) {
					// Against RFC 7296 2.9, and none of what was asked for passes.
					d.ID, d.Severity = "ts-unacceptable", 0
					d.Summary = fmt.Sprintf("%s answers %s with %s, which lies outside of the %s that was asked for", x.Response.Src.Addr(), typ, selectorText(x.Response, typ), selectorText(x.Request, typ))
					found = append(found, span(d))
					continue
				}
				d.Summary = fmt.Sprintf("%s narrowed %s: %s became %s", x.Response.Src.Addr(), typ, selectorText(x.Request, typ), selectorText(x.Response, typ))
				d.Variant = typ.String()
				found = append(found, span(d))
			}
		}
	}
	return found
}

// apart says that no address of one list is in the other.
func apart(a, b []wire.TrafficSelector) bool {
	for i := range a {
		for j := range b {
			x, y := &a[i], &b[j]
			if !x.Start.IsValid() || !y.Start.IsValid() || x.Type == y.Type && !y.End.Less(x.Start) && !x.End.Less(y.Start) {
				return false
			}
		}
	}
	return true
}

// leftOut gives the selectors of asked that got does not cover by one of its
// own.
func leftOut(asked, got []wire.TrafficSelector) []wire.TrafficSelector {
	if len(got) == 0 {
		return nil
	}
	var lost []wire.TrafficSelector
	for i, a := range asked {
		// The first selector may be the packet that asked for the tunnel:
		// the others cover it (RFC 7296 2.9).
		if !covered(a, got) && !(len(asked) > 1 && covered(a, append(asked[:i:i], asked[i+1:]...))) {
			lost = append(lost, a)
		}
	}
	return lost
}

func covered(a wire.TrafficSelector, by []wire.TrafficSelector) bool {
	for _, b := range by {
		if !a.Start.IsValid() || !b.Start.IsValid() {
			if a.Type == b.Type && string(a.Data) == string(b.Data) {
				return true
			}
			continue
		}
		if a.Type == b.Type && !a.Start.Less(b.Start) && !b.End.Less(a.End) &&
			(b.Protocol == 0 || b.Protocol == a.Protocol) && b.StartPort <= a.StartPort && a.EndPort <= b.EndPort {
			return true
		}
	}
	return false
}

func modeMismatch(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		for _, x := range sa.Exchanges {
			if !opened(x.Request) || !opened(x.Response) || proposals(x.Response) == nil ||
				x.Request.Notify(wire.NotifyUseTransportMode) == nil || x.Response.Notify(wire.NotifyUseTransportMode) != nil {
				continue
			}
			d := about(sa)
			d.Confidence = diag.Certain
			d.Evidence = []diag.Evidence{at(x.Request, "USE_TRANSPORT_MODE"), at(x.Response, "no USE_TRANSPORT_MODE")}
			d.Summary = fmt.Sprintf("%s asks for transport mode, %s agrees to tunnel mode only", x.Request.Src.Addr(), x.Response.Src.Addr())
			if out, in := traffic(sa); out > 0 && in > 0 {
				d.Severity = diag.Info
				d.Summary += "; traffic passes all the same"
			}
			found = append(found, span(d))
		}
	}
	return found
}
