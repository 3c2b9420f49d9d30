package interop_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// kernelESP are proposals of children that a Linux kernel has; of OpenIKED's
// own list Linux takes those with CBC or CTR and SHA1, SHA2-384 or SHA2-512.
func (r *gatewayRig) kernelESP() []string {
	list := []string{"aes256-sha512-ecp256", "aes128-sha1-modp2048", "aes256-sha384-ecp384", "aes256ctr-sha512-curve25519"}
	if r.gateway.Software() != lab.OpenIKED {
		list = append(list, "aes128gcm16-ecp256", "aes256gcm16-curve25519", "aes128-sha256-modp2048", "chacha20poly1305-ecp256", "aes128ccm16-ecp256")
	}
	return list
}

// kernelIKE are proposals of IKE SAs.
var kernelIKE = []string{"aes256-sha256-modp2048", "aes128-sha1-modp2048", "aes256-sha512-modp4096", "aes256-sha384-ecp384", "aes128gcm16-prfsha256-ecp256",
	"aes256gcm16-prfsha384-ecp384", "aes256gcm16-prfsha512-ecp521", "aes256gcm16-prfsha256-curve25519", "3des-sha1-modp2048", "chacha20poly1305-prfsha256-curve25519",
	"aes256ctr-sha256-modp3072"}

// suitesOf tries the algorithms of IKE SA and child. Both have one group:
// libreswan rekeys a child with that of the IKE SA, whatever its esp= says.
func (r *gatewayRig) suitesOf(t *testing.T) {
	group := func(text string) string { return text[strings.LastIndex(text, "-"):] }
	own := strings.TrimSuffix(suiteESP, group(suiteESP))
	if r.gateway.Software() == lab.OpenIKED {
		own = "aes256-sha512"
	}
	for _, text := range kernelIKE {
		r.suite(t, "combination: IKE "+text, text, own+group(text))
	}
	for _, text := range r.kernelESP() {
		r.suite(t, "ESP: "+text, "aes256gcm16-prfsha256"+group(text), text)
	}
	if r.gateway.Software() == lab.Libreswan {
		for _, role := range interop.Roles() {
			r.rec.Lacks(role, "ESP: a group for PFS that is not the IKE SA's",
				"NO_PROPOSAL_CHOSEN to our rekeying: it wants the IKE SA's group, whatever esp= says")
		}
	}
}

// suite tries one pair of proposals.
func (r *gatewayRig) suite(t *testing.T, feature, ikeText, espText string) {
	for _, role := range interop.Roles() {
		if err := lab.Speaks(r.gateway.Software(), []string{ikeText}, []string{espText}); errors.Is(err, lab.ErrNoOrder) {
			r.rec.Lacks(role, feature, strings.TrimPrefix(err.Error(), lab.ErrNoOrder.Error()+": "))
			continue
		}
		r.as(t, role, feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("IKE %s, child %s; both are rekeyed by us", ikeText, espText)
			p := r.pair(t, role, func(p *pairing) { p.theirs.IKE, p.theirs.ESP = []string{ikeText}, []string{espText} })
			p.up()
			p.rekeyChild(interop.Initiator)
			p.rekeyIKE(interop.Initiator)
		})
	}
}

func (r *gatewayRig) negotiation(t *testing.T) {
	r.eachRole(t, "negotiation: INVALID_KE_PAYLOAD in IKE_SA_INIT", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("the initiator sends ecp256, the responder wants curve25519")
		p := r.pair(t, role, func(p *pairing) {
			both, one := "aes256gcm16-prfsha256-ecp256-curve25519", "aes256gcm16-prfsha256-curve25519"
			p.theirs.ESP = []string{strings.TrimSuffix(p.theirs.ESP[0], "-ecp256")}
			if role == interop.Responder {
				both, one = one, both
			}
			p.conn.Proposals = proposals(t, wire.ProtocolIKE, both)
			p.theirs.IKE = []string{one}
		})
		if ours := p.up(); !strings.Contains(ours.Suite.Keyword, "curve25519") || len(p.checks(event.CheckKE)) == 0 {
			t.Errorf("suite %s, checks %v", ours.Suite.Keyword, p.checks(event.CheckKE))
		}
	})
	r.eachRole(t, "negotiation: no common IKE proposal is refused", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("NO_PROPOSAL_CHOSEN, and neither side has an SA")
		p := r.pair(t, role, func(p *pairing) {
			p.conn.Proposals = proposals(t, wire.ProtocolIKE, "aes128-sha256-modp3072")
		})
		p.refused("NO_PROPOSAL_CHOSEN")
	})
	r.eachRole(t, "negotiation: another shared key is refused", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("AUTHENTICATION_FAILED, and neither side has an SA")
		p := r.pair(t, role, func(p *pairing) { p.conn.Credentials = sharedKey("another") })
		p.refused("AUTHENTICATION_FAILED")
	})
	r.eachRole(t, "negotiation: selectors, the peer's are narrower", func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, func(p *pairing) {
			p.conn.Children[0].LocalTS, p.conn.Children[0].RemoteTS = prefixes("10.1.0.0/16"), prefixes("10.2.0.0/16")
			if r.gateway.Software() == lab.Libreswan {
				e.Detail("narrowing=yes at the peer")
				p.theirs.Lines = []string{"narrowing=yes"}
			}
		})
		c := p.up().Children[0]
		if !slices.Equal(c.LocalTS, []string{"10.1.0.0/24"}) || !slices.Equal(c.RemoteTS, []string{"10.2.0.0/24"}) {
			t.Errorf("selectors %v %v", c.LocalTS, c.RemoteTS)
		}
	})
	if r.gateway.Software() == lab.Libreswan {
		r.as(t, interop.Initiator, "negotiation: COOKIE", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("the peer demands it: ipsec whack --ddos-busy")
			p := r.pair(t, role, nil)
			if _, err := r.guest.Exec(t.Context(), "ipsec", "whack", "--ddos-busy"); err != nil {
				t.Fatal(err)
			}
			p.up()
			if !p.stepped("cookie") {
				t.Error("the peer demanded no cookie")
			}
			if _, err := r.guest.Exec(t.Context(), "ipsec", "whack", "--ddos-auto"); err != nil {
				t.Fatal(err)
			}
		})
		r.eachRole(t, "child SAs: two of one IKE SA", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("leftsubnets at the peer; they move when the IKE SA is rekeyed; one is deleted, the other stays")
			p := r.pair(t, role, func(p *pairing) {
				p.conn.Children = append(p.conn.Children, &ike.ChildConfig{Name: "second", LocalTS: prefixes("10.1.0.0/24"), RemoteTS: prefixes("10.3.0.0/24")})
				p.theirs.LocalTS = append(p.theirs.LocalTS, "10.3.0.0/24")
			})
			p.initiate()
			p.agree(2)
			p.command(ike.RekeyIKE{})
			p.until("the rekeying of the IKE SA", func() bool { return p.stepped("ended") && len(p.ours()) == 1 })
			p.agree(2)
			p.command(ike.DeleteChild{SPI: p.spis()[0]})
			p.agree(1)
		})
	}
}

// refused begins a tunnel that must not come up, and proves that the refusal
// was told and nothing is left of it.
func (p *pair) refused(notify string) {
	p.t.Helper()
	if p.role == interop.Responder && !p.beginsWhenLoaded() {
		// Some report the refusal, some go on trying: what counts is what we saw.
		if err := p.gateway.Initiate(p.t.Context(), p.theirs.Name); err == nil {
			p.t.Log("the peer does not call it an error")
		}
	} else {
		p.initiate()
	}
	p.until("the refusal", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.ContainsFunc(p.errs, func(s string) bool { return strings.Contains(s, notify) })
	})
	if len(p.ours()) != 0 || p.installed() != 0 {
		p.t.Errorf("%d IKE SAs and %d children stand", len(p.ours()), p.installed())
	}
}

// identities tries the types of identity, with PSK.
func (r *gatewayRig) identities(t *testing.T) {
	for _, row := range []struct{ name, ours, peer string }{
		{"e-mail address", "we@example.org", "they@example.org"},
		{"IPv4 address", r.local.String(), r.remote.String()},
		{"distinguished name", "C=CH, O=ours, CN=left", "C=CH, O=theirs, CN=right"},
	} {
		r.eachRole(t, "authentication: PSK, identities of type "+row.name, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("%s and %s", row.ours, row.peer)
			p := r.pair(t, role, func(p *pairing) {
				p.conn.LocalID, p.conn.RemoteID = id(t, row.ours), auth.Exactly(id(t, row.peer))
				p.theirs.LocalID, p.theirs.RemoteID = row.peer, row.ours
			})
			p.up()
		})
	}
}
