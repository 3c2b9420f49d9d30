package rule

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var authRules = []diag.Rule{
	{
		ID:    "auth-failed-opaque",
		Needs: []string{"IKE_AUTH responses: first inner payload and length", "with keys: their notifies"},
		After: []string{"sig-hash-mismatch", "ppk-mismatch", "cert-expired", "cert-not-yet-valid", "cert-not-sent", "cert-san-mismatch", "eap-method-mismatch", "mschapv2-bad-password", "auth-method-mismatch", "rsa-pss-interop"},
		Find:  theyRefused,
	},
	{
		ID:    "idr-mismatch",
		Needs: []string{"IKE_AUTH responses and the INFORMATIONAL after them", "with keys: the identities"},
		After: []string{"cert-expired", "cert-not-yet-valid", "cert-san-mismatch", "cert-not-sent"},
		Find:  weRefused,
	},
	{
		ID:    "auth-method-mismatch",
		Needs: []string{"with keys: AUTH payloads of both sides"},
		Find:  methodMismatch,
	},
	{
		ID:    "ppk-mismatch",
		Needs: []string{"IKE_SA_INIT exchanges", "the outcome of IKE_AUTH"},
		Find:  ppkMismatch,
	},
}

// refusedAuth gives the IKE_AUTH exchange in which the responder refused the
// IKE SA, nil where it did not. With keys the notify says so, without them a
// response that begins with a Notify and is too short for more.
func refusedAuth(sa *trace.IKESA) *trace.Exchange {
	for _, x := range sa.Auth {
		m := x.Response
		if m == nil || movedOn(x) {
			continue
		}
		if m.Decrypted {
			if n, _ := errorOf(m); n != nil && wire.First(m.Payloads, wire.PayloadAuth) == nil {
				return x
			}
			continue
		}
		if sealedNotify(sa, m) {
			return x
		}
	}
	return nil
}

// failedEAP gives the IKE_AUTH exchange in which EAP ended in failure. Without
// keys: an EAP message of the least length (success or failure have no more)
// after which the initiator says nothing.
func failedEAP(f *diag.Facts, sa *trace.IKESA) *trace.Exchange {
	for _, x := range sa.Auth {
		m := x.Response
		if m == nil || m.First != wire.PayloadEAP || movedOn(x) {
			continue
		}
		if e, ok := body[*wire.EAP](m); ok {
			if e.Code == wire.EAPFailure {
				return x
			}
			continue
		}
		if r, ok := inside(sa, m); ok && r.lone() && now(f).Sub(m.Time) >= silentTwice {
			return x
		}
	}
	return nil
}

// rejectedPeer gives the INFORMATIONAL exchange in which the initiator
// refused the responder right after a good IKE_AUTH response (RFC 7296
// 2.21.2), nil where it did not.
func rejectedPeer(sa *trace.IKESA) *trace.Exchange {
	if len(sa.Auth) == 0 {
		return nil
	}
	last := sa.Auth[len(sa.Auth)-1]
	if last.Response == nil {
		return nil
	}
	for _, x := range sa.Exchanges {
		q := x.Request
		if x.Type != wire.ExchangeInformational || x.By != trace.Initiator || x.MessageID != last.MessageID+1 || q == nil {
			continue
		}
		if q.Decrypted {
			if q.Notify(wire.NotifyAuthenticationFailed) != nil {
				return x
			}
			return nil
		}
		// Sealed, it may also be some other notify: then the SA lives on, and
		// it comes later or from another address.
		if sealedNotify(sa, q) && !movedOn(x) && len(sa.Flows) == 0 &&
			q.Time.Sub(last.Response.Time) <= earlyAge && q.Src == last.Response.Dst {
			return x
		}
		return nil
	}
	return nil
}

func theyRefused(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		x := refusedAuth(sa)
		if x == nil {
			if x = failedEAP(f, sa); x != nil {
				found = append(found, eapRefused(sa, x))
			}
			continue
		}
		m := x.Response
		d := about(sa)
		n, typ := errorOf(m)
		if namedElsewhere(typ) {
			continue
		}
		d.Confidence = diag.Likely
		d.Surer = "keys of the SA (--keys), and the responder's log"
		if m.Decrypted && n != nil {
			d.Confidence = diag.Certain
			d.Surer = "the responder's log; or let the peer call us"
			d.Evidence = []diag.Evidence{at(m, "IKE_AUTH response: N(%s) and nothing else", typ)}
		} else {
			d.Evidence = []diag.Evidence{at(m, "IKE_AUTH response of %d octets: a Notify first, and no room for more", m.Length)}
		}
		d.Summary = fmt.Sprintf("%s refused the authentication of %s%s", m.Src.Addr(), m.Dst.Addr(), whoIs(sa, x))
		if rounds := eapRounds(sa); rounds > 0 {
			d.Summary += fmt.Sprintf(", after %d EAP %s", rounds, plural(rounds, "round"))
		}
		if x.Request != nil {
			d.Evidence = append([]diag.Evidence{at(x.Request, "IKE_AUTH request%s", claims(x.Request))}, d.Evidence...)
		}
		d.Evidence = append(d.Evidence, trustEvidence(sa, x)...)
		d.Remedies = identityRemedies(sa, x)
		if f.Probe != nil && len(f.Probe.Tries) > 0 {
			d.Evidence = append(d.Evidence, triesEvidence(f.Probe.Tries)...)
			d.Surer = "to let the peer call us: ipsec test-peer --listen tells what is wrong with what it sends; or the responder's log"
		}
		found = append(found, span(d))
	}
	return found
}

// namedElsewhere says that an error notify has a rule of its own.
func namedElsewhere(typ wire.NotifyType) bool {
	switch typ {
	case wire.NotifyTSUnacceptable, wire.NotifyNoProposalChosen, wire.NotifyInternalAddressFailure, wire.NotifyFailedCPRequired,
		wire.NotifySinglePairRequired, wire.NotifyNoAdditionalSAs, wire.NotifyUnsupportedCriticalPayload, wire.NotifyInvalidSyntax,
		wire.NotifyInvalidMessageID, wire.NotifyMicrosoftStatus:
		return true
	}
	return false
}

// identityRemedies are the lines that an opened request allows to write out.
func identityRemedies(sa *trace.IKESA, x *trace.Exchange) []diag.Remedy {
	if !opened(x.Request) {
		return nil
	}
	idi, idr := quotable(sa.Local.ID), ""
	if id := askedIDr(sa); id != nil {
		idr = quotable(id.String())
	}
	if idi == "" || idr == "" {
		return nil
	}
	lines := []diag.Remedy{swan("responder", "connections.<c>.remote.id = %s; connections.<c>.local.id = %s", idi, idr)}
	if authMethod(x.Request) == "shared key" {
		lines = append(lines,
			swan("responder", "secrets.ike-<x> { id = %s; secret = <the same as on the initiator> }", idi),
			swan("initiator", "secrets.ike-<x> { id = %s; secret = <the same as on the responder> }", idr))
	}
	return instead("auth-failed-opaque", lines...)
}

// eapRefused is the finding for an EAP that ended in failure.
func eapRefused(sa *trace.IKESA, x *trace.Exchange) diag.Finding {
	m := x.Response
	d := about(sa)
	d.Confidence = diag.Likely
	d.Surer = "keys of the SA (--keys), and the responder's log"
	what := fmt.Sprintf("IKE_AUTH response of %d octets: an EAP message without data, and nothing after it", m.Length)
	if m.Decrypted {
		d.Confidence, what = diag.Certain, "IKE_AUTH response: EAP Failure"
		d.Surer = "the responder's log"
	}
	rounds := eapRounds(sa)
	d.Evidence = []diag.Evidence{at(m, "%s", what)}
	d.Summary = fmt.Sprintf("%s ended the EAP authentication of %s in failure after %d %s",
		m.Src.Addr(), m.Dst.Addr(), rounds, plural(rounds, "round"))
	return span(d)
}

// eapAborted is the finding for an initiator that ends EAP itself.
func eapAborted(sa *trace.IKESA, x *trace.Exchange) diag.Finding {
	d := about(sa)
	d.ID = "auth-failed-opaque"
	d.Confidence = diag.Likely
	d.Surer = "keys of the SA (--keys), and the log of either side"
	d.Evidence = []diag.Evidence{
		at(sa.Auth[len(sa.Auth)-1].Response, "IKE_AUTH response with EAP"),
		at(x.Request, "INFORMATIONAL of the initiator with a Notify and nothing else"),
	}
	rounds := eapRounds(sa)
	d.Summary = fmt.Sprintf("the EAP authentication of %s with %s fails after %d %s", x.Request.Src.Addr(), x.Request.Dst.Addr(), rounds, plural(rounds, "round"))
	return span(d)
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// whoIs names the identities where keys show them.
func whoIs(sa *trace.IKESA, x *trace.Exchange) string {
	if !opened(x.Request) {
		return ""
	}
	s := ""
	if sa.Local.ID != "" {
		s = fmt.Sprintf(" (%s)", short(sa.Local.ID))
	}
	if m := authMethod(x.Request); m != "" {
		s += " by " + m
	}
	return s
}

// opened says that keys opened m.
func opened(m *trace.Message) bool { return m != nil && m.Decrypted }

// claims describes the identities and the method of an opened IKE_AUTH
// request, "" where it is closed.
func claims(m *trace.Message) string {
	if !opened(m) {
		return ""
	}
	s := ""
	if p := wire.First(m.Payloads, wire.PayloadIDi); p != nil {
		s += idText(", IDi ", p)
	}
	if p := wire.First(m.Payloads, wire.PayloadIDr); p != nil {
		s += idText(", asking for IDr ", p)
	}
	if method := authMethod(m); method != "" {
		s += ", " + method
	}
	return s
}

func idText(label string, p *wire.Payload) string {
	id, ok := p.Body.(*wire.ID)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s%s (%s)", label, short(id.String()), id.Type)
}

// authMethod names the method of an opened message's AUTH payload.
func authMethod(m *trace.Message) string {
	a, ok := body[*wire.Auth](m)
	if !ok {
		return ""
	}
	switch a.Method {
	case wire.AuthSharedKey:
		return "shared key"
	case wire.AuthRSA:
		return "RSA signature"
	case wire.AuthDigitalSignature:
		return "digital signature"
	}
	return a.Method.String()
}

// eapRounds counts the IKE_AUTH exchanges that carried EAP.
func eapRounds(sa *trace.IKESA) int {
	n := 0
	for _, x := range sa.Auth {
		if x.Response != nil && x.Response.First == wire.PayloadEAP || x.Request != nil && x.Request.First == wire.PayloadEAP {
			n++
		}
	}
	return n
}

func weRefused(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		x := rejectedPeer(sa)
		if x == nil {
			continue
		}
		answer := sa.Auth[len(sa.Auth)-1].Response
		if answer.First == wire.PayloadEAP {
			// The responder has accepted nothing: EAP went wrong.
			if failedEAP(f, sa) == nil {
				found = append(found, eapAborted(sa, x))
			}
			continue
		}
		d := about(sa)
		d.Confidence = diag.Hint
		d.Surer = "keys of the SA (--keys), or the initiator's log"
		d.Evidence = []diag.Evidence{
			at(answer, "IKE_AUTH response of %d octets: the responder accepts", answer.Length),
			at(x.Request, "INFORMATIONAL of the initiator with a Notify and nothing else"),
		}
		d.Summary = fmt.Sprintf("%s accepts, and then %s refuses it: our side says no (identity or certificate of %s)",
			answer.Src.Addr(), x.Request.Src.Addr(), answer.Src.Addr())
		if asked, got := askedIDr(sa), wire.First(answer.Payloads, wire.PayloadIDr); answer.Decrypted && got != nil {
			id, ok := got.Body.(*wire.ID)
			if !ok { // a log names the payload and not what is in it
				d.Evidence[1].What = "INFORMATIONAL of the initiator: N(AUTHENTICATION_FAILED)"
				d.Confidence = diag.Likely
				d.Surer = "the initiator's log"
				found = append(found, span(d))
				continue
			}
			d.Evidence[1].What = "INFORMATIONAL of the initiator: N(AUTHENTICATION_FAILED)"
			d.Confidence = diag.Likely
			d.Surer = "the initiator's log"
			d.Summary = fmt.Sprintf("%s refuses %s, which says it is %s (%s)", x.Request.Src.Addr(), answer.Src.Addr(), short(id.String()), id.Type)
			if asked != nil && (asked.Type != id.Type || string(asked.Data) != string(id.Data)) {
				d.Confidence = diag.Certain
				d.Surer = ""
				d.Summary = fmt.Sprintf("%s wants %s (%s), and %s says it is %s (%s)", x.Request.Src.Addr(), short(asked.String()), asked.Type,
					answer.Src.Addr(), short(id.String()), id.Type)
				if got, want := quotable(id.String()), quotable(asked.String()); got != "" && want != "" {
					d.Remedies = instead("idr-mismatch",
						swan("initiator", "connections.<c>.remote.id = %s", got),
						swan("responder", "connections.<c>.local.id = %s", want))
				}
			}
		}
		found = append(found, span(d))
	}
	return found
}

// askedIDr gives the IDr of the first opened IKE_AUTH request.
func askedIDr(sa *trace.IKESA) *wire.ID {
	for _, x := range sa.Auth {
		if !opened(x.Request) {
			continue
		}
		if p := wire.First(x.Request.Payloads, wire.PayloadIDr); p != nil {
			if id, ok := p.Body.(*wire.ID); ok {
				return id
			}
		}
	}
	return nil
}

func methodMismatch(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if len(sa.Auth) == 0 {
			continue
		}
		// A request without AUTH asks for EAP; refused at once, it is EAP
		// that the responder does not want.
		if x := refusedAuth(sa); x != nil && x == sa.Auth[0] && opened(x.Request) && x.Response.Notify(wire.NotifyAuthenticationFailed) != nil {
			if wire.First(x.Request.Payloads, wire.PayloadAuth) != nil {
				continue
			}
			d := about(sa)
			d.Confidence = diag.Hint
			d.Evidence = []diag.Evidence{
				at(x.Request, "IKE_AUTH request without AUTH%s: it asks for EAP", claims(x.Request)),
				at(x.Response, "N(AUTHENTICATION_FAILED)"),
			}
			d.Summary = fmt.Sprintf("%s asks for EAP and %s refuses at once: it has no EAP for this identity", x.Request.Src.Addr(), x.Response.Src.Addr())
			d.Surer = "the responder's log"
			found = append(found, span(d))
			continue
		}
		x := rejectedPeer(sa)
		answer := sa.Auth[len(sa.Auth)-1].Response
		if x == nil || !opened(answer) || !opened(sa.Auth[0].Request) {
			continue
		}
		ours, theirs := authMethod(sa.Auth[0].Request), authMethod(answer)
		if ours == "" || theirs == "" || (ours == "shared key") == (theirs == "shared key") {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Likely
		d.Evidence = []diag.Evidence{
			at(sa.Auth[0].Request, "initiator: %s", ours), at(answer, "responder: %s", theirs),
			at(x.Request, "N(AUTHENTICATION_FAILED) from the initiator"),
		}
		d.Summary = fmt.Sprintf("%s authenticates by %s, %s by %s, and the initiator refuses that", end(sa, trace.Initiator), ours, end(sa, trace.Responder), theirs)
		d.Surer = "the initiator's log"
		found = append(found, span(d))
	}
	return found
}

func ppkMismatch(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if sa.Init == nil || sa.Init.Request == nil || sa.Init.Response == nil {
			continue
		}
		i := sa.Init.Request.Notify(wire.NotifyUsePPK) != nil
		r := sa.Init.Response.Notify(wire.NotifyUsePPK) != nil
		x := refusedAuth(sa)
		if x == nil {
			x = rejectedPeer(sa)
		}
		if i == r || x == nil {
			continue
		}
		with, without := end(sa, trace.Initiator), end(sa, trace.Responder)
		if r {
			with, without = without, with
		}
		d := about(sa)
		d.Confidence = diag.Likely
		d.Evidence = []diag.Evidence{
			at(sa.Init.Request, "USE_PPK: %v", i), at(sa.Init.Response, "USE_PPK: %v", r),
		}
		d.Summary = fmt.Sprintf("%s announces a post-quantum preshared key, %s does not, and authentication fails", with, without)
		d.Surer = "the log of the side that refuses"
		found = append(found, span(d))
	}
	return found
}
