package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cloudvlan/cvlanctl/lab"
)

const (
	overName    = "the peer's certificate is over"
	strangeName = "the peer does not trust our authority"
)

// elsewhere is why what the peer itself knows is not looked at.
const elsewhere = "the peer is other software, which is not asked"

// observed is a fault as our initiators and the capture see it.
func observed(id string) map[Source]string {
	return map[Source]string{VICIInitiator: id, Keyed: id, Sealed: id}
}

// opened is one that shows no more than a refusal without keys.
func opened(id string) map[Source]string {
	return map[Source]string{VICIInitiator: id, Keyed: id}
}

// peerFaults are tunnels from us to other software that is set wrong, or
// otherwise than we are.
func peerFaults() []Fault {
	var l []Fault
	for _, s := range []lab.Software{lab.Libreswan, lab.OpenIKED} {
		for _, f := range peerTable() {
			if s == lab.Libreswan && f.Name == overName {
				continue // it loads no such certificate
			}
			if s == lab.OpenIKED && f.Name == strangeName {
				f.Want[EngineInitiator] = "cert-untrusted-issuer" // it names the authority that it asks for
			}
			f.Name = fmt.Sprintf("%s: %s", s, f.Name)
			f.Software = s
			f.Hidden = elsewhere
			if f.Want[Sealed] == "" {
				f.Hidden += "; " + alike
			}
			l = append(l, f)
		}
	}
	return l
}

func peerTable() []Fault {
	type change = func(a *lab.End, g *lab.GatewayConnection)
	plain := func(name string, want map[Source]string, c change) Fault {
		return Fault{Name: name, Want: want, Peer: func(a *lab.End, g *lab.GatewayConnection) error { c(a, g); return nil }}
	}
	untrusted := opened("cert-untrusted-issuer")
	untrusted[Keyed], untrusted[Sealed] = "idr-mismatch", "idr-mismatch"
	expired := opened("cert-expired")
	expired[Sealed] = "idr-mismatch"
	ourOver := opened("cert-expired")
	ourOver[Sealed] = "auth-failed-opaque"
	return []Fault{
		plain("no IKE group in common", observed("no-proposal-ike"), func(a *lab.End, _ *lab.GatewayConnection) { a.Proposals = "aes256-sha256-modp4096" }),
		plain("no IKE cipher in common", observed("no-proposal-ike"), func(a *lab.End, _ *lab.GatewayConnection) { a.Proposals = "aes256gcm16-prfsha256-ecp256" }),
		plain("no ESP integrity in common", opened("no-proposal-child-initial"), func(a *lab.End, _ *lab.GatewayConnection) { a.ESP = "aes256-sha384" }),
		plain("another PSK", observed("auth-failed-opaque"), func(a *lab.End, _ *lab.GatewayConnection) { a.Secrets = psk(`"something else"`) }),
		plain("we claim another identity", observed("auth-failed-opaque"), func(a *lab.End, _ *lab.GatewayConnection) { a.Local.ID = "stranger.lab" }),
		plain("the peer has another network", opened("ts-unacceptable"), func(_ *lab.End, g *lab.GatewayConnection) { g.LocalTS = []string{"172.16.5.0/24"} }),
		{Name: "the peer wants a group at rekeying", Want: opened("pfs-mismatch-at-rekey"), Act: rekeyed,
			Peer: func(a *lab.End, g *lab.GatewayConnection) error {
				a.ESP, g.ESP = "aes256-sha512-ecp384", []string{"aes256-sha512-ecp256"}
				return nil
			}},
		{Name: strangeName, Want: observed("auth-failed-opaque"), Peer: certified(func(p *papers) { p.ours = p.strange })},
		{Name: "we do not trust the peer's authority", Want: untrusted, Peer: certified(func(p *papers) { p.root = p.other })},
		{Name: "our certificate is over", Want: ourOver, Peer: certified(func(p *papers) { p.ours = p.past })},
		{Name: overName, Want: expired, Peer: certified(func(p *papers) { p.theirs = p.over })},
	}
}

// papers are the certificates of both sides. They are made once: libreswan
// keeps what it was given, by subject.
type papers struct{ root, other, ours, theirs, over, past, strange *lab.Identity }

var issued = sync.OnceValues(func() (p *papers, err error) {
	kind := lab.RSA(2048)
	p = &papers{}
	if p.root, err = lab.NewRoot("Lab Root CA", kind); err != nil {
		return nil, err
	}
	if p.other, err = lab.NewRoot("Another Root CA", kind); err != nil {
		return nil, err
	}
	for _, leaf := range []struct {
		to   **lab.Identity
		make func(string, lab.KeyKind) (*lab.Identity, error)
		name string
	}{
		{&p.ours, p.root.NewLeaf, "initiator.lab"}, {&p.theirs, p.root.NewLeaf, "responder.lab"},
		{&p.over, p.root.NewExpiredLeaf, "responder.lab"}, {&p.past, p.root.NewExpiredLeaf, "initiator.lab"}, {&p.strange, p.other.NewLeaf, "initiator.lab"},
	} {
		if *leaf.to, err = leaf.make(leaf.name, kind); err != nil {
			return nil, err
		}
	}
	return p, nil
})

// certified has both sides prove themselves by certificates, once they are
// changed.
func certified(change func(p *papers)) func(a *lab.End, g *lab.GatewayConnection) error {
	return func(a *lab.End, g *lab.GatewayConnection) error {
		p, err := issued()
		if err != nil {
			return err
		}
		own := *p
		change(&own)
		g.Identity, g.Root, g.PSK = own.theirs, p.root, ""
		a.Trust(own.root)
		a.Secrets, a.Remote.Method = nil, "pubkey"
		return a.Present(own.ours)
	}
}

// rekeyed brings the child up and has it rekeyed.
func rekeyed(ctx context.Context, b *lab.Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	out, err := b.A.Swanctl(ctx, "--rekey", "--child", "net")
	if err != nil && !strings.Contains(out, "rekey") {
		return &failed{out, err}
	}
	return nil
}

// peerVariants are healthy tunnels to other software.
func peerVariants() []Fault {
	carried := func(ctx context.Context, b *lab.Bench) error {
		if _, err := b.Initiate(ctx); err != nil {
			return err
		}
		return pinged(ctx, b)
	}
	certs := certified(func(*papers) {})
	var l []Fault
	for _, s := range []lab.Software{lab.Libreswan, lab.OpenIKED} {
		l = append(l, Fault{Name: string(s) + ": plain tunnel", Software: s, Act: carried},
			Fault{Name: string(s) + ": certificates", Software: s, Act: carried, Peer: certs})
	}
	return slices.Clip(l)
}
