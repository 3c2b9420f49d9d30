package rule

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// authKnown are the faults of authentication that have a name of their own:
// what is only suspected follows from them.
var authKnown = []string{
	"psk-mismatch", "psk-not-found", "responder-no-peer-config", "idr-mismatch", "cert-expired", "cert-not-yet-valid", "cert-untrusted-issuer",
	"cert-revoked", "cert-san-mismatch", "cert-not-sent", "cert-eku-or-keyusage", "cert-path-policy", "private-key-missing", "sig-hash-mismatch",
	"ppk-mismatch", "auth-method-mismatch", "eap-method-mismatch", "unique-policy-refused",
}

// quirkRules recognise where two implementations read the protocol, or one
// configuration, differently.
var quirkRules = []diag.Rule{
	{
		ID:    "nonstandard-port-marker",
		Needs: []string{"IKE_SA_INIT requests with their ports and how they are framed"},
		Find:  strangePort,
	},
	{
		ID:    "prf-or-aead-config-error",
		Needs: []string{"the IKE proposals of an IKE_SA_INIT request"},
		Find:  impossibleProposals,
	},
	{
		ID:    "pq-intermediate-auth-mismatch",
		Needs: []string{"the notifies of IKE_SA_INIT", "the outcome of IKE_AUTH"},
		After: authKnown,
		Find:  intermediateSkipped,
	},
	{
		ID:    "rsa-pss-interop",
		Needs: []string{"with keys: AUTH payloads and the refusal", "vendor IDs"},
		After: authKnown,
		Find:  pssRefused,
	},
	{
		ID:    "ts-any-vs-proxy-id",
		Needs: []string{"with keys: TS payloads of request and response"},
		Find:  anySelector,
	},
	{
		ID:    "ipcomp-or-tfc-quirk",
		Needs: []string{"with keys: IPCOMP_SUPPORTED in request and response", "ESP in both directions"},
		After: []string{"ts-unacceptable", "transport-tunnel-mode-mismatch"},
		Find:  compression,
	},
	{
		ID:    "vendor-lists-mismatch-after-planning",
		Needs: []string{"IKEv1 messages that a peer sends to a host that wants IKEv2"},
		After: []string{"ikev1-only-peer"},
		Find:  provesV1,
	},
}

// strangePort looks for IKE that its receiver takes for ESP, or drops: to
// another port than 500 every message needs the marker of four zero octets
// (RFC 7296 2.23, RFC 3948 2.2), and on port 500 none may have it.
func strangePort(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		x := unanswered(f, sa)
		if x == nil {
			continue
		}
		m := x.Request
		d := about(sa)
		switch from, to := m.Src.Port(), m.Dst.Port(); {
		case m.Logged && from == 500 && to != 500 && to != 4500,
			// Our own engine knows both ports of its peer, whatever they are.
			!m.Logged && !f.Trace.Daemon.Known && m.Encap == event.UDP && to != 500:
			d.Summary = fmt.Sprintf("%s sends IKE to port %d of %s without the marker that every port but 500 needs: it is taken for ESP", m.Src.Addr(), to, m.Dst.Addr())
			d.Evidence = sent(x, fmt.Sprintf("IKE_SA_INIT from port %d to port %d, no marker of four zero octets before it", from, to))
		case !m.Logged && m.Encap == event.UDPNATT && to == 500:
			d.Summary = fmt.Sprintf("%s sends IKE to port 500 of %s with the marker of port 4500 before it: no IKE daemon takes it there", m.Src.Addr(), m.Dst.Addr())
			d.Evidence = sent(x, "IKE_SA_INIT to port 500 behind four zero octets")
		default:
			continue
		}
		d.Confidence, d.Surer = diag.Likely, "the same request with the framing of that port: is it answered?"
		found = append(found, span(d))
	}
	return found
}

// impossibleProposals looks for requests of which no proposal can be chosen,
// whatever the peer has (RFC 7296 3.3, 3.3.3).
func impossibleProposals(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if up(sa) || sa.Init == nil {
			continue
		}
		ps := proposals(sa.Init.Request)
		var why []string
		for i := range ps {
			if w := impossible(&ps[i]); w != "" {
				why = append(why, fmt.Sprintf("proposal %d: %s", ps[i].Number, w))
			}
		}
		if len(ps) == 0 || len(why) < len(ps) {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Certain
		d.Evidence = []diag.Evidence{at(sa.Init.Request, "offered %s", listProposals(ps))}
		d.Summary = fmt.Sprintf("no proposal of %s can be chosen by anybody: %s", sa.Init.Request.Src.Addr(), strings.Join(why[:min(len(why), maxListed)], "; "))
		d.Remedies = instead("prf-or-aead-config-error", swan("initiator", "connections.<c>.proposals = aes256gcm16-prfsha384-ecp384, aes256-sha256-modp2048"))
		found = append(found, span(d))
	}
	return found
}

// impossible says what keeps an IKE proposal from being one, "" where nothing
// does.
func impossible(p *wire.Proposal) string {
	if p.Protocol != wire.ProtocolIKE {
		return ""
	}
	var prf, group, encr, integ, aead, classic bool
	for i := range p.Transforms {
		switch t := &p.Transforms[i]; t.Type {
		case wire.TransformEncr:
			encr = true
			if wire.AEAD(t.ID) {
				aead = true
			} else {
				classic = true
			}
		case wire.TransformPRF:
			prf = true
		case wire.TransformInteg:
			integ = integ || t.ID != wire.IntegNone
		case wire.TransformKE:
			group = true
		}
	}
	switch {
	case !encr:
		return "no encryption algorithm"
	case !prf:
		return "no PRF, which AES-GCM and the like need beside them (-prfsha256)"
	case !group:
		return "no key exchange group"
	case aead && classic:
		return "combined-mode (AEAD) and classic encryption in one proposal"
	case classic && !integ:
		return "classic encryption without an integrity algorithm"
	}
	return ""
}

// intermediateSkipped is an IKE_AUTH refused where both sides said that they
// can do IKE_INTERMEDIATE (RFC 9242) and none took place: some versions fold it
// into AUTH all the same.
func intermediateSkipped(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		x := refusedAuth(sa)
		if x == nil || sa.Init == nil || sa.Init.Request.Notify(wire.NotifyIntermediateExchangeSupported) == nil ||
			sa.Init.Response.Notify(wire.NotifyIntermediateExchangeSupported) == nil || len(exchanges(sa, wire.ExchangeIKEIntermediate)) > 0 {
			continue
		}
		d := about(sa)
		d.Confidence, d.Surer = diag.Hint, "a test without IKE_INTERMEDIATE on one side: is IKE_AUTH accepted then?"
		d.Evidence = []diag.Evidence{
			at(sa.Init.Request, "N(INTERMEDIATE_EXCHANGE_SUPPORTED)"), at(sa.Init.Response, "N(INTERMEDIATE_EXCHANGE_SUPPORTED), and no IKE_INTERMEDIATE afterwards"),
			at(x.Response, "IKE_AUTH refused"),
		}
		d.Summary = fmt.Sprintf("%s refuses IKE_AUTH, and both sides announced IKE_INTERMEDIATE without using it: one of them may count it into AUTH all the same", x.Response.Src.Addr())
		found = append(found, span(d))
	}
	return found
}

// RSASSA-PSS in an AlgorithmIdentifier, and the tag of its trailerField (RFC
// 8017 A.2.3): the default may be left out, and some peers want it written.
var (
	oidPSS     = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a}
	tagTrailer = []byte{0xa3, 0x03, 0x02, 0x01, 0x01}
)

// pss says whether an AUTH payload is a digital signature (RFC 7427 3) made
// with RSASSA-PSS, and whether it writes the trailerField out.
func pss(m *trace.Message) (is, trailer bool) {
	a, ok := body[*wire.Auth](m)
	if !ok || a.Method != wire.AuthDigitalSignature || len(a.Data) < 1 || len(a.Data) < 1+int(a.Data[0]) {
		return false, false
	}
	algorithm := a.Data[1 : 1+int(a.Data[0])]
	return bytes.Contains(algorithm, oidPSS), bytes.Contains(algorithm, tagTrailer)
}

func pssRefused(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		// Whoever refuses looked at the other side's signature.
		x, m, refuser := refusedAuth(sa), (*trace.Message)(nil), trace.Responder
		if x != nil {
			m = x.Request
		} else if x = rejectedPeer(sa); x != nil {
			m, refuser = sa.Auth[len(sa.Auth)-1].Response, trace.Initiator
		}
		is, trailer := pss(m)
		if x == nil || !is || withoutPSSToo(f) {
			continue
		}
		no := x.Response
		if refuser == trace.Initiator {
			no = x.Request
		}
		d := about(sa)
		d.Evidence = []diag.Evidence{at(m, "AUTH: digital signature with RSASSA-PSS, trailerField %s", map[bool]string{true: "written out", false: "left out"}[trailer]), at(no, "refused")}
		d.Summary = fmt.Sprintf("%s refuses a signature of %s with RSASSA-PSS", end(sa, refuser), m.Src.Addr())
		d.Surer = "the log of the side that refuses; or a test with RSA PKCS#1 (rsa_pss = no)"
		d.Confidence, d.Severity = diag.Hint, diag.Info
		if name := claimed(sa, refuser, "Fortinet"); name != "" && !trailer {
			d.Confidence, d.Severity = diag.Likely, diag.Medium
			d.Summary += fmt.Sprintf(" that leaves the trailerField out; it claims to be %s, which wants it written", name)
		}
		found = append(found, span(d))
	}
	return found
}

// withoutPSSToo says that the peer was tried without RSASSA-PSS, and refused that
// just the same.
func withoutPSSToo(f *diag.Facts) bool {
	return f.Probe != nil && slices.ContainsFunc(f.Probe.Tries, func(t diag.Try) bool { return t.Near == "rsa-sha256" && !t.Accepted })
}

// claimed gives the name that a side claims by a Vendor ID, "" where none of
// its claims begins so.
func claimed(sa *trace.IKESA, by trace.Origin, prefix string) string {
	for _, v := range sa.VendorIDs {
		if v.By == by && strings.HasPrefix(v.Name, prefix) {
			return v.Name
		}
	}
	return ""
}

// anySelector looks for a side that asks for everything where the other one
// has networks written out (crypto map, proxy ID).
func anySelector(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		for _, x := range sa.Exchanges {
			if !opened(x.Request) || !opened(x.Response) || x.Type != wire.ExchangeIKEAuth && x.Purpose != trace.PurposeChild ||
				wire.First(x.Request.Payloads, wire.PayloadCP) != nil { // a client asks for everything, and gets its address
				continue
			}
			for _, typ := range []wire.PayloadType{wire.PayloadTSi, wire.PayloadTSr} {
				asked, got := selectors(x.Request, typ), selectors(x.Response, typ)
				if !everything(asked) {
					continue
				}
				d := about(sa)
				d.Variant = typ.String()
				d.Evidence = []diag.Evidence{at(x.Request, "%s: %s", typ, selectorText(x.Request, typ))}
				switch {
				case x.Response.Notify(wire.NotifyTSUnacceptable) != nil && !later(sa, x):
					d.Confidence, d.Surer = diag.Likely, "the responder's configuration: has it networks written out?"
					d.Evidence = append(d.Evidence, at(x.Response, "%s response: N(TS_UNACCEPTABLE)", x.Type))
					d.Summary = fmt.Sprintf("%s asks for everything (%s %s), as a route-based tunnel does, and %s refuses that, as one with proxy IDs does",
						x.Request.Src.Addr(), typ, selectorText(x.Request, typ), x.Response.Src.Addr())
				case len(got) > 0 && !everything(got):
					// What is common to both works.
					d.Confidence, d.Severity = diag.Certain, diag.Info
					d.Evidence = append(d.Evidence, at(x.Response, "%s: %s", typ, selectorText(x.Response, typ)))
					d.Summary = fmt.Sprintf("%s asks for everything and %s grants %s: what %s sends beyond that is lost", x.Request.Src.Addr(), x.Response.Src.Addr(), selectorText(x.Response, typ), x.Request.Src.Addr())
				default:
					continue
				}
				found = append(found, span(d))
				break // one side is told once
			}
		}
	}
	return found
}

// everything says that selectors are the whole of IPv4 or IPv6.
func everything(list []wire.TrafficSelector) bool {
	for i := range list {
		s := &list[i]
		if s.Protocol != 0 || !s.Start.IsValid() || !s.Start.IsUnspecified() || !s.End.IsValid() {
			continue
		}
		if last := s.End.AsSlice(); len(bytes.Trim(last, "\xff")) == 0 {
			return true
		}
	}
	return false
}

func compression(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	flows := flowsOf(f)
	for _, sa := range v2(f) {
		for _, x := range sa.Exchanges {
			if !opened(x.Request) || !opened(x.Response) || x.Request.Notify(wire.NotifyIPCompSupported) == nil {
				continue
			}
			d := about(sa)
			d.Confidence, d.Surer = diag.Hint, "a test with compression off"
			d.Evidence = []diag.Evidence{at(x.Request, "N(IPCOMP_SUPPORTED)")}
			var out, in int64
			for _, fl := range flows[sa] {
				if fl.Dst.Addr() == sa.Local.Host {
					in += fl.Packets
				} else {
					out += fl.Packets
				}
			}
			n, typ := errorOf(x.Response)
			switch {
			case n != nil && typ == wire.NotifyNoProposalChosen && !later(sa, x):
				d.Evidence = append(d.Evidence, at(x.Response, "N(%s)", typ))
				d.Summary = fmt.Sprintf("%s asks for compression (IPComp) and %s refuses the CHILD SA: many devices cannot do it", x.Request.Src.Addr(), x.Response.Src.Addr())
			case n != nil:
				continue
			case x.Response.Notify(wire.NotifyIPCompSupported) != nil && max(out, in) >= oneWayPackets && min(out, in) == 0:
				d.Evidence = append(d.Evidence, at(x.Response, "N(IPCOMP_SUPPORTED)"))
				d.Summary = fmt.Sprintf("%s and %s compress (IPComp), and packets go one way only: many devices announce it and cannot do it", x.Request.Src.Addr(), x.Response.Src.Addr())
			default:
				continue
			}
			found = append(found, span(d))
		}
	}
	return found
}

// provesV1 points at the packet that settles what a peer speaks.
func provesV1(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	told := map[netip.Addr]bool{}
	for _, d := range v1Only(f) {
		peer, err := netip.ParseAddr(d.Subject.Remote)
		if err != nil || told[peer] || len(d.Evidence) == 0 {
			continue
		}
		told[peer] = true
		d.Severity, d.Remedies = diag.Info, nil
		d.Summary = fmt.Sprintf("whatever was agreed on, %s does not speak IKEv2: the packet named here proves it", peer)
		found = append(found, d)
	}
	return found
}
