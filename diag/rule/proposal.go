package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var proposalRules = []diag.Rule{
	{
		ID:    "no-proposal-ike",
		Needs: []string{"IKE_SA_INIT exchanges", "for the comparison: proposals that the peer sent or selected elsewhere"},
		After: []string{"ikev1-only-peer", "keylength-mismatch", "proposal-list-truncated-by-peer"},
		Find:  both(noProposalIKE, probed(refusedProposals)),
	},
	{
		ID:    "keylength-mismatch",
		Needs: []string{"SA payloads of both sides"},
		Find:  keyLength,
	},
	{
		ID:    "proposal-list-truncated-by-peer",
		Needs: []string{"IKE_SA_INIT exchanges in both directions"},
		Find:  truncatedList,
	},
}

// refusal is an IKE_SA_INIT exchange that NO_PROPOSAL_CHOSEN ended.
type refusal struct {
	sa *trace.IKESA
	x  *trace.Exchange
}

func refusals(f *diag.Facts) []refusal {
	var list []refusal
	for _, sa := range v2(f) {
		if up(sa) {
			continue
		}
		for _, x := range exchanges(sa, wire.ExchangeIKESAInit) {
			if x.Response.Notify(wire.NotifyNoProposalChosen) != nil && !movedOn(x) {
				list = append(list, refusal{sa, x})
				break
			}
		}
	}
	return list
}

func noProposalIKE(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	list := refusals(f)
	known := acceptable(f, list)
	for _, r := range list {
		d := about(r.sa)
		d.Confidence = diag.Likely
		d.Evidence = []diag.Evidence{at(r.x.Response, "N(NO_PROPOSAL_CHOSEN) from %s", r.x.Response.Src)}
		offered := proposals(r.x.Request)
		if r.x.Request != nil {
			e := at(r.x.Request, "%s request", r.x.Type)
			if len(offered) > 0 { // a log names the payload and not what is in it
				e.What = "offered: " + listProposals(offered)
			}
			d.Evidence = append([]diag.Evidence{e}, d.Evidence...)
		}
		d.Summary = fmt.Sprintf("%s accepts none of the IKE proposals of %s", r.x.Response.Src.Addr(), r.x.Response.Dst.Addr())
		if len(offered) > 0 {
			d.Summary += ": offered " + offeredByType(offered)
		}
		d.Surer = "the responder's configured proposals: its log, or a probe transform by transform"
		var lines []diag.Remedy
		if words := strong(offered, weakIKE); words != "" {
			lines = append(lines, swan("responder", "connections.<c>.proposals = %s", words))
		}
		if k := known[r.x.Response.Src.Addr()]; k != nil && len(offered) > 0 {
			if missing := compare(offered, k.transforms); len(missing) > 0 {
				d.Confidence = diag.Certain
				d.Surer = ""
				d.Summary = fmt.Sprintf("%s accepts none of the IKE proposals of %s: %s",
					r.x.Response.Src.Addr(), r.x.Response.Dst.Addr(), strings.Join(missing, "; "))
				d.Evidence = append(d.Evidence, k.evidence)
				if k.words != "" {
					lines = append(lines, swan("initiator", "connections.<c>.proposals = %s", k.words))
				}
			}
		}
		d.Remedies = instead("no-proposal-ike", lines...)
		found = append(found, span(d))
	}
	return found
}

// wanted is what a host is known to accept for IKE.
type wanted struct {
	transforms []wire.Transform
	words      string // its strong proposals in swanctl's words
	evidence   diag.Evidence
}

// acceptable collects, for each host that refused a proposal, the transforms
// that it offered as initiator or selected as responder elsewhere.
func acceptable(f *diag.Facts, list []refusal) map[netip.Addr]*wanted {
	known := map[netip.Addr]*wanted{}
	for _, r := range list {
		known[r.x.Response.Src.Addr()] = nil
	}
	note := func(m *trace.Message, what string) {
		if m == nil {
			return
		}
		a := m.Src.Addr()
		w, asked := known[a]
		ps := proposals(m)
		if !asked || len(ps) == 0 {
			return
		}
		if w == nil {
			w = &wanted{evidence: at(m, "%s %s: %s", a, what, listProposals(ps)), words: strong(ps, weakIKE)}
			known[a] = w
		}
		for i := range ps {
			if len(w.transforms) < 512 {
				w.transforms = append(w.transforms, ps[i].Transforms...)
			}
		}
	}
	if len(list) == 0 {
		return known
	}
	for _, sa := range v2(f) {
		for _, x := range exchanges(sa, wire.ExchangeIKESAInit) {
			note(x.Request, "itself offers")
			note(x.Response, "selected elsewhere")
		}
	}
	return known
}

// compare names the transform types for which the two sides have nothing in
// common.
func compare(offered []wire.Proposal, accepted []wire.Transform) []string {
	var missing []string
	for _, typ := range []wire.TransformType{wire.TransformEncr, wire.TransformInteg, wire.TransformPRF, wire.TransformKE} {
		ours, theirs := namesOf(all(offered), typ), namesOf(accepted, typ)
		if len(ours) == 0 || len(theirs) == 0 {
			continue
		}
		if !slices.ContainsFunc(ours, func(n string) bool { return slices.Contains(theirs, n) }) {
			missing = append(missing, fmt.Sprintf("%s: offered %s, the peer uses %s", typ, join(ours), join(theirs)))
		}
	}
	return missing
}

// all gives the transforms of several proposals.
func all(ps []wire.Proposal) []wire.Transform {
	var ts []wire.Transform
	for i := range ps {
		ts = append(ts, ps[i].Transforms...)
	}
	return ts
}

// namesOf lists the transforms of one type, each once, with key lengths.
func namesOf(ts []wire.Transform, typ wire.TransformType) []string {
	var names []string
	for i := range ts {
		t := &ts[i]
		if t.Type != typ || typ == wire.TransformInteg && t.ID == wire.IntegNone {
			continue
		}
		if n := transform(t); !slices.Contains(names, n) && len(names) < 24 {
			names = append(names, n)
		}
	}
	return names
}

func transform(t *wire.Transform) string {
	if bits := t.KeyLength(); bits > 0 {
		return fmt.Sprintf("%s-%d", t.Name(), bits)
	}
	return t.Name()
}

// offeredByType writes "ENCR AES_CBC-256; PRF ...; KE ...".
func offeredByType(ps []wire.Proposal) string {
	var parts []string
	ts := all(ps)
	for _, typ := range []wire.TransformType{wire.TransformEncr, wire.TransformInteg, wire.TransformPRF, wire.TransformKE} {
		if names := namesOf(ts, typ); len(names) > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", typ, strings.Join(names, ", ")))
		}
	}
	if len(parts) == 0 {
		return "unknown, the request was not captured"
	}
	return strings.Join(parts, "; ")
}

// listProposals writes the first proposals in swanctl's words.
func listProposals(ps []wire.Proposal) string {
	var parts []string
	for i := range ps {
		if i == maxListed {
			parts = append(parts, fmt.Sprintf("and %d more", len(ps)-i))
			break
		}
		parts = append(parts, wire.FormatProposal(ps[i].Protocol, ps[i].Transforms))
	}
	return strings.Join(parts, ", ")
}

func keyLength(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	list := refusals(f)
	known := acceptable(f, list)
	for _, r := range list {
		k := known[r.x.Response.Src.Addr()]
		if k == nil || r.x.Request == nil {
			continue
		}
		ours := all(proposals(r.x.Request))
		cipher, a, b := sameCipherOtherLength(ours, k.transforms)
		if cipher == "" || len(compare(proposals(r.x.Request), k.transforms)) != 1 {
			continue
		}
		d := about(r.sa)
		d.Confidence = diag.Certain
		d.Evidence = []diag.Evidence{
			at(r.x.Request, "offered: %s", listProposals(proposals(r.x.Request))),
			at(r.x.Response, "N(NO_PROPOSAL_CHOSEN) from %s", r.x.Response.Src),
			k.evidence,
		}
		d.Summary = fmt.Sprintf("%s offers %s with %s bit, %s uses it with %s bit",
			r.x.Response.Dst.Addr(), cipher, join(a), r.x.Response.Src.Addr(), join(b))
		found = append(found, span(d))
	}
	return found
}

// sameCipherOtherLength gives a cipher that both sides name, never with the
// same key length.
func sameCipherOtherLength(ours, theirs []wire.Transform) (cipher string, a, b []string) {
	bits := func(ts []wire.Transform, id uint16) []string {
		var l []string
		for i := range ts {
			if t := &ts[i]; t.Type == wire.TransformEncr && t.ID == id {
				if s := lengthText(t.KeyLength()); !slices.Contains(l, s) {
					l = append(l, s)
				}
			}
		}
		return l
	}
	for i := range ours {
		t := &ours[i]
		if t.Type != wire.TransformEncr {
			continue
		}
		a, b := bits(ours, t.ID), bits(theirs, t.ID)
		if len(b) > 0 && !slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) }) {
			return t.Name(), a, b
		}
	}
	return "", nil, nil
}

func lengthText(bits int) string {
	if bits == 0 {
		return "no"
	}
	return fmt.Sprint(bits)
}

// evaluated is the number of proposals that every known implementation reads.
const evaluated = 8

func truncatedList(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	for _, r := range refusals(f) {
		ps := proposals(r.x.Request)
		if len(ps) <= evaluated {
			continue
		}
		for _, o := range idx.of(r.sa) {
			// The peer calls us and gets a suite that we offer late.
			if !up(o) || end(o, trace.Initiator) != end(r.sa, trace.Responder) || o.Init == nil || o.Init.Response == nil {
				continue
			}
			chosen := proposals(o.Init.Response)
			at8 := slices.IndexFunc(ps, func(p wire.Proposal) bool { return len(chosen) > 0 && covers(p, chosen[0]) })
			if at8 < evaluated {
				continue
			}
			d := about(r.sa)
			d.Confidence = diag.Likely
			d.Evidence = []diag.Evidence{
				at(r.x.Request, "%d proposals, the agreed suite in number %d", len(ps), at8+1),
				at(r.x.Response, "N(NO_PROPOSAL_CHOSEN) from %s", r.x.Response.Src),
				at(o.Init.Response, "the other way round: %s", listProposals(chosen)),
			}
			d.Summary = fmt.Sprintf("%s refuses %d proposals, yet agrees on %s when it calls itself: that one is number %d of the list",
				r.x.Response.Src.Addr(), len(ps), listProposals(chosen), at8+1)
			d.Surer = "an attempt with that suite alone"
			found = append(found, span(d))
			break
		}
	}
	return found
}

// covers says whether a proposal contains every transform of a selected one.
func covers(p, chosen wire.Proposal) bool {
	for i := range chosen.Transforms {
		c := &chosen.Transforms[i]
		if !slices.ContainsFunc(p.Transforms, func(t wire.Transform) bool {
			return t.Type == c.Type && t.ID == c.ID && t.KeyLength() == c.KeyLength()
		}) {
			return false
		}
	}
	return true
}
