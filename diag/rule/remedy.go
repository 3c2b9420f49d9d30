package rule

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// instead gives the remedies of a finding: lines with this case's values in
// place of the catalogue's swanctl.conf lines, and what the catalogue has for
// other platforms.
func instead(id string, lines ...diag.Remedy) []diag.Remedy {
	if len(lines) == 0 {
		return nil // Diagnose takes all of the catalogue's
	}
	e, ok := diag.Lookup(id)
	if !ok {
		return lines
	}
	for _, r := range e.Remedies {
		if r.Platform != "strongswan" {
			lines = append(lines, r)
		}
	}
	return lines
}

func swan(side, format string, args ...any) diag.Remedy {
	return diag.Remedy{Side: side, Platform: "strongswan", Change: fmt.Sprintf(format, args...)}
}

// strong gives those of the proposals, in swanctl's words, that hold nothing
// which should not be used: no advice spreads weak algorithms.
func strong(ps []wire.Proposal, weak func(engine.Suite) []weakness) string {
	var words []string
	for i := range ps {
		if len(words) == 4 {
			break
		}
		if !holdsWeak(&ps[i], weak) {
			words = append(words, wire.FormatProposal(ps[i].Protocol, ps[i].Transforms))
		}
	}
	return strings.Join(words, ",")
}

// holdsWeak judges every transform of a proposal by itself.
func holdsWeak(p *wire.Proposal, weak func(engine.Suite) []weakness) bool {
	for i := range p.Transforms {
		t := &p.Transforms[i]
		var s engine.Suite
		switch {
		case t.Type == wire.TransformEncr:
			// With an integrity algorithm beside it, so that none is missed.
			s.EncrID, s.IntegID = t.ID, wire.IntegSHA256128
		case t.Type == wire.TransformInteg:
			s.IntegID = t.ID
		case t.Type == wire.TransformPRF:
			s.PRFID = t.ID
		case t.Type.KeyExchange():
			s.DHID = t.ID
		}
		for _, w := range weak(s) {
			if w.severity < diag.Info {
				return true
			}
		}
	}
	return false
}

// quotable gives an identity as it can stand in swanctl.conf, "" where its
// text could be read as something else there.
func quotable(id string) string {
	for _, r := range id {
		if r < 0x20 || r == 0x7f || strings.ContainsRune(`"\{}#`, r) {
			return ""
		}
	}
	if len(id) > 200 {
		return ""
	}
	if strings.ContainsAny(id, " ,=") {
		return `"` + id + `"`
	}
	return id
}
