package enginetest

import (
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TB is what the package needs of a test.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// Pair is two hosts, a and b, that share a key and know each other.
type Pair struct {
	*Net
	A, B *Host
	tb   TB
}

// Change alters the two hosts before they boot.
type Change func(a, b *ike.Connection, setA, setB *ike.Settings)

// AddrA and AddrB are the addresses of a Pair.
var (
	AddrA = netip.MustParseAddr("192.0.2.1")
	AddrB = netip.MustParseAddr("192.0.2.2")
)

// NewPair makes a pair with one child "net" between 10.1.0.0/16 and 10.2.0.0/16.
// A test that fails prints the ladder.
func NewPair(tb TB, seed uint64, changes ...Change) *Pair {
	tb.Helper()
	p := &Pair{Net: New(seed), tb: tb}
	a, b := PSKConnections(tb)
	var setA, setB ike.Settings
	for _, c := range changes {
		c(a, b, &setA, &setB)
	}
	var err error
	if p.A, err = p.AddHost("a", AddrA, setA, a); err != nil {
		tb.Fatalf("host a: %v", err)
	}
	if p.B, err = p.AddHost("b", AddrB, setB, b); err != nil {
		tb.Fatalf("host b: %v", err)
	}
	tb.Cleanup(func() { p.finish(tb) })
	return p
}

// PSKConnections gives the two sides of a connection "gw" with a shared key.
func PSKConnections(tb TB) (a, b *ike.Connection) {
	tb.Helper()
	one := func(local, remote netip.Addr, localID, remoteID, localTS, remoteTS string) *ike.Connection {
		return &ike.Connection{Name: "gw", Local: local, Remote: remote, LocalID: ID(tb, localID),
			RemoteID:    auth.Exactly(ID(tb, remoteID)),
			Credentials: auth.SharedKeys{{Key: suite.NewSecret([]byte("a shared key of the simulation"))}},
			Proposals:   Proposals(tb, wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519"),
			Children: []*ike.ChildConfig{{Name: "net", Proposals: Proposals(tb, wire.ProtocolESP, "aes256gcm16-curve25519"),
				LocalTS: Selectors(localTS), RemoteTS: Selectors(remoteTS)}}}
	}
	return one(AddrA, AddrB, "a.example.org", "b.example.org", "10.1.0.0/16", "10.2.0.0/16"),
		one(AddrB, AddrA, "b.example.org", "a.example.org", "10.2.0.0/16", "10.1.0.0/16")
}

// ID reads an identity.
func ID(tb TB, s string) wire.ID {
	tb.Helper()
	id, err := auth.ParseID(s)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return id
}

// Proposals reads proposals.
func Proposals(tb TB, p wire.ProtocolID, texts ...string) [][]wire.Transform {
	tb.Helper()
	ps, err := ike.ParseProposals(p, texts...)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return ps
}

// Selectors gives the selectors of subnets.
func Selectors(prefixes ...string) []wire.TrafficSelector {
	var out []wire.TrafficSelector
	for _, p := range prefixes {
		out = append(out, ike.PrefixSelector(netip.MustParsePrefix(p)))
	}
	return out
}

// Up brings the connection up from side a and gives both ends of it.
func (p *Pair) Up() (a, b *ike.SA) {
	p.tb.Helper()
	s, err := p.A.Initiate("gw")
	if err != nil {
		p.tb.Fatalf("initiate: %v", err)
	}
	ok := p.RunUntil(time.Minute, func() bool {
		return len(p.A.Plane.Children) > 0 && len(p.B.Plane.Children) > 0
	})
	if !ok || len(p.B.Established()) != 1 {
		p.tb.Fatalf("no tunnel after a minute: %v %v", p.A.Errs, p.B.Errs)
	}
	p.Settle()
	return s, p.B.Established()[0]
}

// One gives the only IKE SA that stands on a host.
func (p *Pair) One(h *Host) *ike.SA {
	p.tb.Helper()
	list := h.Established()
	if len(list) != 1 {
		p.tb.Fatalf("%s has %d IKE SAs, want 1", h.Name, len(list))
	}
	return list[0]
}

// Agree fails the test where the two sides do not believe the same, and gives
// how many IKE SAs and children they have.
func (p *Pair) Agree(ikes, children int) {
	p.tb.Helper()
	if p.Stuck {
		p.tb.Errorf("the simulation does not come to rest")
	}
	for _, f := range Disagreements(p.A, p.B) {
		p.tb.Errorf("%s", f)
	}
	for _, h := range []*Host{p.A, p.B} {
		if n := len(h.Established()); n != ikes {
			p.tb.Errorf("%s has %d IKE SAs, want %d", h.Name, n, ikes)
		}
		// A rekeying is no up and no down.
		if up, down := h.Changes(event.IKEUp)-h.forgotten, h.Changes(event.IKEDown); up-down != ikes {
			p.tb.Errorf("%s told of %d IKE SAs up and %d down, and has %d", h.Name, up, down, ikes)
		}
		if n := len(h.Plane.Children); n != children {
			p.tb.Errorf("%s has %d children, want %d", h.Name, n, children)
		}
	}
}
