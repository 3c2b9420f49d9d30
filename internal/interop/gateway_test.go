package interop_test

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// gateways are the daemons that run in a guest.
var gateways = []lab.Software{lab.StrongSwan, lab.Libreswan, lab.OpenIKED}

// TestInteropInAGuest has each daemon run in a guest, one after another, since
// a guest takes its time to boot.
func TestInteropInAGuest(t *testing.T) {
	segment, ns := newSegment(t)
	r := newRoad(t, segment, ns)
	for _, software := range gateways {
		t.Run(string(software), func(t *testing.T) {
			gw := newGateway(t, segment.Guest, software)
			t.Run("IKE", func(t *testing.T) { controls(t, segment.Guest, gw, beside(ns)) })
			if interop.Full() {
				t.Run("IKE elsewhere", func(t *testing.T) { paths(t, gw, segment, ns) })
			}
			if interop.Full() || software == lab.Libreswan { // it stands for the others
				t.Run("ESP", func(t *testing.T) { r.carries(t, gw) })
			}
		})
	}
}

// controls tries what concerns IKE alone, with our engine beside the guest.
func controls(t *testing.T, guest *lab.Guest, gw lab.Gateway, at place) {
	r := newGatewayRig(t, guest, gw, at, ike.Settings{})
	r.life(t)
	if interop.Full() {
		r.authentication(t)
		r.rekeying(t)
		r.collisions(t)
		r.liveness(t)
		r.deletes(t)
		r.weFallSilent(t)
		r.identities(t)
		r.suitesOf(t)
		r.negotiation(t)
		r.encapsulation(t)
		r.fragmentation(t)
	}
}

// certify has both sides of a pair prove themselves by certificates of a
// hierarchy; signBy is how the gateway is to sign, in its own words.
func (p *pairing) certify(t *testing.T, h *hierarchy, signBy string, rules auth.Rules) {
	t.Helper()
	must := mustIdentity(t)
	above := func(list []*lab.Identity) *lab.Identity {
		if len(list) == 0 {
			return h.root
		}
		return list[len(list)-1]
	}
	chainOfOurs := h.ours
	if p.ignoresChains {
		chainOfOurs = nil
	}
	ours := must(above(chainOfOurs).NewLeaf(p.conn.LocalID.String(), h.kind))
	key, err := auth.NewPrivateKey(ours.Key)
	if err != nil {
		t.Fatal(err)
	}
	chain := []*x509.Certificate{ours.Cert}
	for n := len(chainOfOurs) - 1; n >= 0; n-- {
		chain = append(chain, chainOfOurs[n].Cert)
	}
	pair, err := auth.NewKeyPair(key, chain...)
	if err != nil {
		t.Fatal(err)
	}
	p.conn.Credentials = &auth.Certificates{Own: []*auth.KeyPair{pair}, Trusted: []*x509.Certificate{h.root.Cert}, Rules: rules}
	p.theirs.PSK = ""
	p.theirs.Identity = must(above(h.peers).NewLeaf(p.theirs.LocalID, h.kind))
	p.theirs.SignBy = signBy
}

// signature is a way to sign, by the words of each gateway that has it.
type signature struct {
	name   string
	kind   lab.KeyKind
	signBy map[lab.Software]string
	lacks  map[lab.Software]string // why a gateway has it not
	want   string                  // how the peer signed
	rules  auth.Rules
}

// signsECDSA is how each gateway is told to sign by RFC 7427 with an ECDSA key.
var signsECDSA = map[lab.Software]string{lab.StrongSwan: "pubkey", lab.Libreswan: "ecdsa", lab.OpenIKED: "rfc7427"}

var signatures = []signature{
	{name: "RSA, RFC 7427", kind: lab.RSA(2048), signBy: map[lab.Software]string{lab.StrongSwan: "pubkey", lab.Libreswan: "rsa-sha2", lab.OpenIKED: "rfc7427"},
		rules: auth.Rules{PKCS1: true}},
	{name: "RSA with SHA-1, method 1", kind: lab.RSA(2048), signBy: map[lab.Software]string{lab.StrongSwan: "pubkey", lab.Libreswan: "rsa-sha1", lab.OpenIKED: "rsa"},
		want: "RSASSA-PKCS1-v1_5 with SHA1", rules: auth.Rules{SHA1: true, OlderOnly: true}},
	{name: "ECDSA P-256", kind: lab.ECDSA(elliptic.P256()), signBy: signsECDSA},
	{name: "ECDSA P-384", kind: lab.ECDSA(elliptic.P384()), signBy: signsECDSA},
	{name: "ECDSA P-521", kind: lab.ECDSA(elliptic.P521()), signBy: signsECDSA},
	{name: "ECDSA P-256, method 9", kind: lab.ECDSA(elliptic.P256()), signBy: map[lab.Software]string{lab.StrongSwan: "pubkey", lab.Libreswan: "ecdsa", lab.OpenIKED: "ecdsa256"},
		want: "ECDSA with SHA2-256", rules: auth.Rules{OlderOnly: true},
		lacks: map[lab.Software]string{lab.Libreswan: "without RFC 7427 it signs by method 11, that of P-521, with its P-256 key"}},
}

// life is what ordinary test runs try of each gateway: one tunnel in each role,
// with all that happens to it.
func (r *gatewayRig) life(t *testing.T) {
	h := newHierarchy(t, lab.ECDSA(elliptic.P256()), 1)
	r.eachRole(t, "life: rekeying by either side, a liveness check, delete by the side that did not begin", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("PSK where we initiate, certificates with ECDSA P-256 where we respond")
		p := r.pair(t, role, func(p *pairing) {
			if role == interop.Responder {
				p.certify(t, h, signsECDSA[r.gateway.Software()], auth.Rules{})
			}
		})
		p.up()
		p.probe()
		for _, who := range interop.Roles() {
			if who == interop.Initiator || r.orders() {
				p.rekeyChild(who)
				p.rekeyIKE(who)
			}
		}
		if role == interop.Initiator {
			p.must(p.gateway.Terminate(t.Context(), p.theirs.Name))
			p.gone()
		} else {
			p.deleteIKE()
		}
	})
	if interop.Full() {
		return
	}
	if !r.orders() {
		r.childByLifetime(t, interop.Initiator, 1)
	}
	if r.checksSoon() {
		r.peersCheck(t, interop.Responder)
	}
}

// deleteIKE has us delete the IKE SA and waits until nothing is left of it.
func (p *pair) deleteIKE() {
	p.t.Helper()
	old := p.ours()[0]
	p.command(ike.DeleteIKE{})
	if p.role == interop.Initiator || p.gateway.Software() != lab.Libreswan {
		p.gone()
		return
	}
	// What libreswan was told to bring up is to stay up: it begins anew.
	p.until("a new IKE SA", func() bool { s := p.ours(); return len(s) == 1 && s[0].InitiatorSPI != old.InitiatorSPI })
	p.agree(1)
}

// ignoresChains says that the gateway takes one CERT payload only, so that our
// certificate must be the root's own.
func (r *gatewayRig) ignoresChains() bool { return r.gateway.Software() == lab.OpenIKED }

// orders says whether the gateway rekeys when it is told to.
func (r *gatewayRig) orders() bool { return rekeysByOrder(r.gateway) }

func rekeysByOrder(g lab.Gateway) bool { return g.Software() != lab.OpenIKED }

func (r *gatewayRig) authentication(t *testing.T) {
	r.eachRole(t, "authentication: PSK", func(t *testing.T, role interop.Role, e *interop.Entry) {
		r.pair(t, role, nil).up()
	})
	if r.ignoresChains() {
		for _, role := range interop.Roles() {
			r.rec.Lacks(role, "authentication: our certificate below an intermediate authority",
				"it takes one CERT payload (\"multiple cert payloads, ignoring\") and then lacks the issuer")
		}
	}
	for _, s := range signatures {
		name := "authentication: " + s.name + ", below one intermediate authority"
		h := newHierarchy(t, s.kind, 1)
		for _, role := range interop.Roles() {
			if why := s.lacks[r.gateway.Software()]; why != "" {
				r.rec.Lacks(role, name, why)
				continue
			}
			r.as(t, role, name, func(t *testing.T, role interop.Role, e *interop.Entry) {
				rules := s.rules
				if r.gateway.Software() == lab.Libreswan {
					rules.PKCS1 = false // under RFC 7427 it wants RSASSA-PSS
				}
				p := r.pair(t, role, func(p *pairing) { p.certify(t, h, s.signBy[r.gateway.Software()], rules) })
				p.up()
				got := p.signature()
				e.Detail("the peer signs by %s", got)
				if r.ignoresChains() {
					e.Detail("the peer signs by %s; our certificate is below the root, as it ignores a second CERT payload", got)
				}
				if s.want != "" && got != s.want {
					t.Errorf("the peer signed by %q, want %q", got, s.want)
				}
			})
		}
	}
}

// byLifetime is the life of SAs that a gateway is to replace by itself.
const byLifetime = 3 * time.Second

// rekeyChild has us (Initiator) or the peer rekey the one child.
func (p *pair) rekeyChild(who interop.Role) {
	p.t.Helper()
	p.childRekeyed(p.by(who, p.theirs.RekeyChild, p.gateway.RekeyChild))
	p.settled(who)
}

// rekeyIKE has us (Initiator) or the peer rekey the IKE SA.
func (p *pair) rekeyIKE(who interop.Role) {
	p.t.Helper()
	p.ikeRekeyed(p.by(who, p.theirs.RekeyIKE, p.gateway.RekeyIKE))
	p.settled(who)
}

// by gives what has the peer begin a rekeying, nil where we are to: an order, or
// nothing where it does so by itself after a time.
func (p *pair) by(who interop.Role, after time.Duration, order func(context.Context, string) error) func() {
	if who == interop.Initiator {
		return nil
	}
	return func() {
		if after == 0 {
			p.must(order(p.t.Context(), p.theirs.Name))
		}
	}
}

// settled proves that both sides agree after a rekeying, and by whom it was
// asked for.
func (p *pair) settled(who interop.Role) {
	p.t.Helper()
	p.agree(1)
	if who == interop.Responder && p.asked(wire.ExchangeCreateChildSA, nil) == 0 {
		p.t.Error("the peer has sent no CREATE_CHILD_SA request")
	}
}

func (r *gatewayRig) rekeying(t *testing.T) {
	const times = 3
	for _, who := range interop.Roles() {
		if who == interop.Responder && !r.orders() {
			for _, role := range interop.Roles() {
				r.childByLifetime(t, role, times)
				r.ikeByLifetime(t, role, times)
			}
			continue
		}
		by := map[interop.Role]string{interop.Initiator: "by us", interop.Responder: "by the peer"}[who]
		r.eachRole(t, "rekeying: child SA "+by, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("three times, with PFS")
			p := r.pair(t, role, nil)
			p.up()
			for range times {
				p.rekeyChild(who)
			}
		})
		r.eachRole(t, "rekeying: IKE SA "+by, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("three times; the child moves, and can be rekeyed after it")
			p := r.pair(t, role, nil)
			p.up()
			for range times {
				p.rekeyIKE(who)
			}
			p.probe()
			p.rekeyChild(who)
		})
	}
}

// childByLifetime has a gateway without an order for it rekey the child.
func (r *gatewayRig) childByLifetime(t *testing.T, role interop.Role, times int) {
	r.as(t, role, "rekeying: child SA by the peer", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("by its lifetime of three seconds: it has no such order")
		p := r.pair(t, role, func(p *pairing) { p.theirs.RekeyChild = byLifetime })
		p.up()
		for range times {
			p.rekeyChild(interop.Responder)
		}
	})
}

// ikeByLifetime has a gateway without an order for it rekey the IKE SA.
func (r *gatewayRig) ikeByLifetime(t *testing.T, role interop.Role, times int) {
	r.as(t, role, "rekeying: IKE SA by the peer", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("by its lifetime of three seconds: it has no such order")
		p := r.pair(t, role, func(p *pairing) { p.theirs.RekeyIKE = byLifetime })
		p.up()
		for range times {
			p.rekeyIKE(interop.Responder)
		}
		p.probe()
	})
}

// checked counts the liveness checks of the peer that our side took.
func (p *pair) checked() int {
	return p.asked(wire.ExchangeInformational, func(k *event.IKE) bool { return len(k.Inner) == 0 })
}

// checksSoon says that the gateway asks for a sign of life when we set it to.
// OpenIKED does not on Linux: it wants to know when ESP was last used, and the
// kernel does not tell it.
func (r *gatewayRig) checksSoon() bool { return r.gateway.Software() != lab.OpenIKED }

func (r *gatewayRig) liveness(t *testing.T) {
	r.eachRole(t, "liveness: our check is answered", func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, nil)
		p.up()
		p.probe()
	})
	for _, role := range interop.Roles() {
		r.peersCheck(t, role)
	}
	r.peerKilled(t)
}

// peersCheck has the gateway ask for a sign of life.
func (r *gatewayRig) peersCheck(t *testing.T, role interop.Role) {
	const feature = "liveness: the peer's check is answered"
	if !r.checksSoon() {
		r.rec.Lacks(role, feature, "on Linux OpenIKED does not learn when ESP was last used (its log says that it never was), so that dpd_check_interval has no effect")
		return
	}
	r.as(t, role, feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
		// Nothing else happens meanwhile: libreswan loses the answer to a rekeying
		// that crosses a check of its own, and takes the repeated request for
		// another one.
		e.Detail("after a second of silence, and again")
		p := r.pair(t, role, func(p *pairing) { p.theirs.DPDDelay, p.theirs.DPDTimeout = time.Second, 20*time.Second })
		p.up()
		// It sends a second one only when the first was answered.
		p.until("the peer's checks", func() bool { return p.checked() >= 2 })
		p.agree(1)
	})
}

func (r *gatewayRig) peerKilled(t *testing.T) {
	r.eachRole(t, "liveness: the peer is killed", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("our checks go unanswered: the IKE SA ends, its child is removed; a new one comes up with the peer restarted")
		p := r.pair(t, role, func(p *pairing) { p.conn.DPDDelay = 200 * time.Millisecond })
		p.up()
		p.must(p.gateway.Kill(t.Context()))
		p.until("our side to notice", func() bool { return len(p.ours()) == 0 && p.installed() == 0 })
		if !p.stepped("give-up") {
			t.Error("our side does not say that it gave up")
		}
		p.must(p.gateway.Start(t.Context()))
		p.up()
	})
}

func (r *gatewayRig) deletes(t *testing.T) {
	r.eachRole(t, "delete: IKE SA by us, and a new one", func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, nil)
		p.up()
		p.deleteIKE()
		if role == interop.Responder && r.gateway.Software() == lab.Libreswan {
			e.Detail("the peer begins anew by itself: what it was told to bring up is to stay up")
			return
		}
		p.up()
	})
	r.eachRole(t, "delete: IKE SA by the peer, and a new one", func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, nil)
		p.up()
		p.must(p.gateway.Terminate(t.Context(), p.theirs.Name))
		p.gone()
		p.up()
	})
	r.eachRole(t, "delete: child SA by us, and a new one", func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, nil)
		p.up()
		p.command(ike.DeleteChild{SPI: p.spis()[0]})
		p.agree(0)
		p.command(ike.AddChild{Name: "net"})
		p.agree(1)
	})
	feature := "delete: child SA by the peer, and a new one"
	for _, role := range interop.Roles() {
		if err := r.gateway.TerminateChild(t.Context(), "none"); errors.Is(err, lab.ErrNoOrder) {
			r.rec.Lacks(role, feature, err.Error())
			continue
		}
		r.as(t, role, feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
			p := r.pair(t, role, nil)
			p.up()
			p.must(p.gateway.TerminateChild(t.Context(), p.theirs.Name))
			p.agree(0)
			p.must(p.gateway.Initiate(t.Context(), p.theirs.Name))
			p.agree(1)
		})
	}
}
