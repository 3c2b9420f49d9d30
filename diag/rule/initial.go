package rule

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var initRules = []diag.Rule{
	{
		ID:    "cookie-loop",
		Needs: []string{"IKE_SA_INIT exchanges"},
		Find:  cookieLoop,
	},
	{
		ID:    "invalid-ke-loop",
		Needs: []string{"IKE_SA_INIT exchanges", "with keys: CREATE_CHILD_SA exchanges"},
		Find:  invalidKELoop,
	},
	{
		ID:    "redirect-loop",
		Needs: []string{"IKE_SA_INIT responses", "with keys: IKE_AUTH responses"},
		Find:  redirectLoop,
	},
}

func cookieLoop(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if up(sa) || !carries(sa, wire.NotifyCookie) {
			continue
		}
		d := about(sa)
		again := 0
		values := map[string]bool{}
		for _, x := range exchanges(sa, wire.ExchangeIKESAInit) {
			n := x.Response.Notify(wire.NotifyCookie)
			if n == nil {
				continue
			}
			values[string(n.Data)] = true
			had := "a request without a cookie"
			if x.Request.Notify(wire.NotifyCookie) != nil {
				had = "a request that returns a cookie"
				again++
			}
			d.Evidence = append(d.Evidence, at(x.Response, "N(COOKIE) of %d octets in answer to %s", len(n.Data), had))
		}
		// A responder may change its secret between two packets: once more
		// is no loop yet.
		if again < 2 {
			continue
		}
		d.Confidence = diag.Certain
		d.Summary = fmt.Sprintf("%s asks %s for a cookie %s, %s although the last one was returned; %s",
			end(sa, trace.Responder), end(sa, trace.Initiator), count(len(d.Evidence)), count(again), sameCookie(len(values)))
		found = append(found, span(d))
	}
	return found
}

func sameCookie(n int) string {
	if n == 1 {
		return "it is always the same cookie"
	}
	return fmt.Sprintf("%d different cookies", n)
}

// askedGroup gives the group that an INVALID_KE_PAYLOAD notify asks for.
func askedGroup(n *wire.Notify) (wire.KEMethod, bool) {
	if n == nil || len(n.Data) < 2 {
		return 0, false
	}
	return wire.KEMethod(binary.BigEndian.Uint16(n.Data)), true
}

// offers says whether a request's proposals contain a key exchange method.
func offers(m *trace.Message, group wire.KEMethod) bool {
	return slices.ContainsFunc(proposals(m), func(p wire.Proposal) bool {
		return slices.ContainsFunc(p.Transforms, func(t wire.Transform) bool {
			return t.Type.KeyExchange() && wire.KEMethod(t.ID) == group
		})
	})
}

func invalidKELoop(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if !carries(sa, wire.NotifyInvalidKEPayload) {
			continue
		}
		if !up(sa) {
			if d, ok := keLoop(sa, exchanges(sa, wire.ExchangeIKESAInit)); ok {
				found = append(found, d)
			}
			continue
		}
		// Later exchanges, where keys show them: rounds without a success.
		var rounds []*trace.Exchange
		for _, x := range exchanges(sa, wire.ExchangeCreateChildSA) {
			switch {
			case x.Response == nil:
			case x.Response.Notify(wire.NotifyInvalidKEPayload) != nil:
				rounds = append(rounds, x)
			case proposals(x.Response) != nil:
				rounds = nil
			}
		}
		if len(rounds) >= 2 {
			if d, ok := keLoop(sa, rounds); ok {
				found = append(found, d)
			}
		}
	}
	return found
}

// keLoop judges the rounds of one attempt.
func keLoop(sa *trace.IKESA, xs []*trace.Exchange) (diag.Finding, bool) {
	d := about(sa)
	rounds := 0
	var groups []string
	stranger := ""
	var last *trace.Exchange
	for _, x := range xs {
		group, ok := askedGroup(x.Response.Notify(wire.NotifyInvalidKEPayload))
		if !ok {
			continue
		}
		rounds++
		last = x
		guess := "another group"
		if ke, ok := body[*wire.KE](x.Request); ok {
			guess = ke.Group.String()
		}
		if !slices.Contains(groups, group.String()) {
			groups = append(groups, group.String())
		}
		if x.Request != nil && !offers(x.Request, group) {
			stranger = group.String()
		}
		d.Evidence = append(d.Evidence, at(x.Response, "N(INVALID_KE_PAYLOAD): asked for %s in answer to %s", group, guess))
	}
	d.Confidence = diag.Certain
	switch {
	case stranger != "" && !movedOn(last):
		d.Summary = fmt.Sprintf("%s asks for %s, which %s does not offer", last.Response.Src.Addr(), stranger, last.Response.Dst.Addr())
	case rounds >= 2:
		d.Summary = fmt.Sprintf("%s answered INVALID_KE_PAYLOAD %s and asked for %s; %s offered each, and none was accepted",
			last.Response.Src.Addr(), count(rounds), join(groups), last.Response.Dst.Addr())
	default:
		return d, false
	}
	d.Variant = fmt.Sprint(last.Type)
	return span(d), true
}

// A client takes more redirects than this within the period for a loop
// (RFC 5685 7, the default values).
const (
	maxRedirects   = 5
	redirectPeriod = 300 * time.Second
)

func redirectLoop(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	// A client goes from gateway to gateway: what counts is how often the
	// same initiator is sent on.
	byClient := map[string][]diag.Evidence{}
	first := map[string]*trace.IKESA{}
	var order []string
	for _, sa := range v2(f) {
		for _, x := range sa.Exchanges {
			if x.Response == nil || x.Type != wire.ExchangeIKESAInit && x.Type != wire.ExchangeIKEAuth || x.Response.Notify(wire.NotifyRedirect) == nil {
				continue
			}
			who := end(sa, trace.Initiator)
			if first[who] == nil {
				first[who] = sa
				order = append(order, who)
			}
			byClient[who] = append(byClient[who], at(x.Response, "N(REDIRECT) from %s", x.Response.Src.Addr()))
		}
	}
	for _, who := range order {
		list := byClient[who]
		if len(list) < 3 {
			continue
		}
		d := about(first[who])
		d.Confidence = diag.Likely
		d.Evidence = list
		d.Summary = fmt.Sprintf("%s was redirected %s", who, count(len(list)))
		d.Surer = "a capture that shows where it ends"
		if n := len(list); n > maxRedirects && list[n-1].Time.Sub(list[n-1-maxRedirects].Time) <= redirectPeriod {
			d.Confidence, d.Surer = diag.Certain, ""
		}
		found = append(found, span(d))
	}
	return found
}
