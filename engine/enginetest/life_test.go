package enginetest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestRequestsAreRepeatedOctetForOctetAndThenGivenUp(t *testing.T) {
	p := NewPair(t, 1)
	var sent [][]byte
	var at []time.Duration
	p.Judge = func(pk *Packet) Fate {
		sent = append(sent, pk.Octets)
		at = append(at, p.Now().Sub(Start))
		return Drop
	}
	sa, err := p.A.Initiate("gw")
	if err != nil {
		t.Fatal(err)
	}
	if w := sa.Waiting(); !strings.Contains(w, "IKE_SA_INIT") || !strings.Contains(w, "sent once") {
		t.Errorf("it waits for %q", w)
	}
	p.Run(10 * time.Minute)
	// 4 s, and each time 1.8 times as long.
	want := []time.Duration{0, 4 * time.Second, 11200 * time.Millisecond, 24160 * time.Millisecond, 47488 * time.Millisecond, 89478400 * time.Microsecond}
	if len(sent) != len(want) {
		t.Fatalf("sent %d times, want %d", len(sent), len(want))
	}
	for i := range want {
		if d := at[i] - want[i]; d < -time.Millisecond || d > time.Millisecond || string(sent[i]) != string(sent[0]) {
			t.Errorf("sent again at %s (same octets %v), want %s", at[i], string(sent[i]) == string(sent[0]), want[i])
		}
	}
	if sa.State() != engine.IKEFailed || !strings.Contains(sa.Why(), "no answer to request 0") {
		t.Errorf("state %s: %s", sa.State(), sa.Why())
	}
	if n := len(p.A.Endpoint.SAs()); n != 0 {
		t.Errorf("%d SAs are kept", n)
	}
}

func TestLostMessagesAreMadeGood(t *testing.T) {
	for n := 1; n <= 4; n++ {
		p := NewPair(t, 1)
		seen := 0
		p.Judge = func(*Packet) Fate {
			if seen++; seen == n {
				return Drop
			}
			return Deliver
		}
		p.Up()
		p.Agree(1, 1)
		if len(p.B.Endpoint.SAs()) != 1 {
			t.Errorf("message %d lost: the responder made %d SAs", n, len(p.B.Endpoint.SAs()))
		}
	}
}

func TestNATMovesBothToTheirOtherPorts(t *testing.T) {
	for _, row := range []struct {
		name   string
		a, b   bool
		forced bool
	}{{"in front of the initiator", true, false, false}, {"in front of the responder", false, true, false}, {"forced", false, false, true}} {
		t.Run(row.name, func(t *testing.T) {
			out := netip.MustParseAddr("198.51.100.7")
			p := NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
				a.ForceEncap = row.forced
				if row.a {
					b.Remote = out
				}
				if row.b {
					a.Remote = out
				}
			})
			if row.a {
				p.A.Behind(out)
			}
			if row.b {
				nat := p.B.Behind(out)
				for _, port := range []uint16{500, 4500} { // forwarded
					nat.in[port], nat.out[netip.AddrPortFrom(AddrB, port)] = netip.AddrPortFrom(AddrB, port), port
				}
			}
			a, b := p.Up()
			p.Agree(1, 1)
			for _, s := range []*ike.SA{a, b} {
				m := s.Model()
				if m.Local.Port != 4500 {
					t.Errorf("still on port %d", m.Local.Port)
				}
				if yes, _ := m.Children[0].Encap.Get(); !yes {
					t.Error("ESP does not go in UDP")
				}
			}
			if local, _ := a.Model().NAT.Local.Get(); local != row.a {
				t.Errorf("the initiator's NAT: %v, want %v", local, row.a)
			}
			if local, _ := b.Model().NAT.Local.Get(); local != row.b {
				t.Errorf("the responder's NAT: %v, want %v", local, row.b)
			}
			if checks := p.B.Checks(event.CheckNAT, false); !row.forced && !row.b && len(checks) == 0 {
				t.Error("the responder reports no hash that differs")
			}
			p.Run(70 * time.Second)
			if n := strings.Count(p.Ladder.String(), "NAT keepalive"); row.forced != (n == 0) {
				t.Errorf("%d keepalives in 70 s", n)
			}
		})
	}
}

func TestReboundNATIsFollowedFromTheFirstAuthenticMessage(t *testing.T) {
	p := NewPair(t, 1, func(_, b *ike.Connection, _, _ *ike.Settings) { b.Remote = netip.MustParseAddr("198.51.100.7") })
	nat := p.A.Behind(netip.MustParseAddr("198.51.100.7"))
	a, b := p.Up()
	before := b.Model().Remote.Port
	nat.Rebind()
	p.A.Command(a, ike.Probe{})
	p.Run(time.Second)
	if after := b.Model().Remote.Port; after == before {
		t.Errorf("the responder still sends to port %d", after)
	}
	if p.B.Changes(event.IKEUpdate) != 1 {
		t.Error("the move was not told")
	}
	for _, u := range p.B.Plane.Children {
		if u.Remote.Port() == before {
			t.Error("the data plane was not told")
		}
	}
	p.B.Command(b, ike.Probe{})
	p.Run(time.Second)
	if b.Model().DPD.Answered != 1 {
		t.Error("a probe to the new mapping was not answered")
	}
	p.B.Command(b, ike.Heard{From: netip.MustParseAddrPort("198.51.100.7:9")})
	if port := b.Model().Remote.Port; port != 9 {
		t.Errorf("authentic ESP from a new port: still port %d", port)
	}
}

func TestCookiesAreDemandedAndBroughtBack(t *testing.T) {
	p := NewPair(t, 1, func(_, _ *ike.Connection, _, b *ike.Settings) { b.CookieThreshold = -1 })
	p.Up()
	p.Agree(1, 1)
	if !strings.Contains(p.Ladder.String(), "[N(COOKIE) SA KE Nonce") {
		t.Error("no request with a cookie was sent")
	}
	if len(p.B.Checks(event.CheckCookie, true)) != 1 {
		t.Error("the cookie was not checked")
	}
}

func TestFloodOfRequestsIsBoundedAndLetsTheGenuineIn(t *testing.T) {
	p := NewPair(t, 1, func(_, b *ike.Connection, _, set *ike.Settings) {
		b.Remote = netip.Addr{}
		set.CookieThreshold, set.MaxHalfOpen = 20, 50
	})
	var first *Packet
	p.Judge = func(pk *Packet) Fate {
		if first == nil {
			first = pk
		}
		return Deliver
	}
	sa, _ := p.Up()
	for i := range 5000 {
		octets := append([]byte(nil), first.Octets...)
		octets[0], octets[1], octets[2] = 0x77, byte(i), byte(i>>8)
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 500)
		out := p.B.Endpoint.Step(p.Now(), ike.Input{Datagram: &ike.Datagram{Local: first.Dst, Remote: src, Octets: octets}})
		if i > 100 && len(out.Datagrams) != 1 {
			t.Fatalf("request %d was answered with %d datagrams, want a cookie", i, len(out.Datagrams))
		}
	}
	if h := p.B.Endpoint.Held(); h.HalfOpen > 20 || h.SAs > 21 || h.Sources > 20 {
		t.Errorf("held after the flood: %+v", h)
	}
	p.A.Command(sa, ike.Probe{})
	p.A.Command(sa, ike.RekeyIKE{})
	p.Run(time.Second)
	if p.A.Changes(event.IKERekey) != 1 {
		t.Error("an established SA was not served during the flood")
	}
	p.A.Command(p.One(p.A), ike.DeleteIKE{})
	p.Run(time.Second)
	p.Up()
	p.Run(time.Minute)
	if h := p.B.Endpoint.Held(); h.HalfOpen != 0 || h.Sources != 0 || h.Requests != 0 {
		t.Errorf("held a minute after the flood: %+v", h)
	}
}

func TestOneSourceMayHaveFewHalfOpenSAs(t *testing.T) {
	p := NewPair(t, 1)
	p.Judge = func(pk *Packet) Fate {
		if strings.Contains(pk.Label, "IKE_AUTH") {
			return Drop
		}
		return Deliver
	}
	for range 7 {
		if _, err := p.A.Initiate("gw"); err != nil {
			t.Fatal(err)
		}
		p.Run(time.Second)
	}
	if n := p.B.Endpoint.HalfOpen(); n != 5 {
		t.Errorf("%d half-open SAs of one source, want 5", n)
	}
	if len(p.B.Checks(event.CheckLimit, false)) == 0 {
		t.Error("the limit was not told")
	}
	if s := p.B.Endpoint.SAs()[0]; !strings.Contains(s.Waiting(), "IKE_AUTH") {
		t.Errorf("a half-open SA waits for %q", s.Waiting())
	}
}

func TestOtherGroupIsTakenAtOnce(t *testing.T) {
	p := NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
		a.Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519-ecp256")
		b.Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")
	})
	a, _ := p.Up()
	p.Agree(1, 1)
	if g := a.Model().Suite.DHGroup; g != "ECP_256" {
		t.Errorf("group %s", g)
	}
}

func TestRefusalsTellBothSidesValues(t *testing.T) {
	rows := []struct {
		name          string
		change        Change
		host          string // that tells
		kind          event.CheckKind
		local, remote string
		ikes          int
	}{
		{"no IKE algorithm in common", func(a, b *ike.Connection, _, _ *ike.Settings) {
			a.Proposals = mustProposals(wire.ProtocolIKE, "aes128-sha256-modp2048")
		}, "b", event.CheckTransform, "aes256gcm16", "aes128", 0},
		{"different shared keys", func(a, b *ike.Connection, _, _ *ike.Settings) {
			a.Credentials = auth.SharedKeys{{Key: suite.NewSecret([]byte("another"))}}
		}, "b", event.CheckMAC, "32 octets", "32 octets", 0},
		{"a responder with another identity", func(a, b *ike.Connection, _, _ *ike.Settings) {
			a.RemoteID = auth.Pattern{}
			b.LocalID.Data = []byte("other.example")
			id := a.LocalID
			id.Data = []byte("wanted.example")
			a.RemoteID = auth.Exactly(id)
		}, "b", event.CheckIdentity, "other.example", "wanted.example", 0},
		{"an initiator that nobody knows", func(a, b *ike.Connection, _, _ *ike.Settings) {
			a.LocalID.Data = []byte("stranger.example")
		}, "b", event.CheckIdentity, "a.example.org", "stranger.example", 0},
		{"no address in common", func(a, b *ike.Connection, _, _ *ike.Settings) {
			a.Children[0].RemoteTS = Selectors("10.9.0.0/16")
		}, "b", event.CheckSelector, "10.2.0.0/16", "10.9.0.0/16", 1},
		{"no ESP algorithm in common", func(a, b *ike.Connection, _, _ *ike.Settings) {
			a.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes128-sha256")
		}, "b", event.CheckTransform, "aes256gcm16", "aes128", 1},
		{"another mode", func(a, b *ike.Connection, _, _ *ike.Settings) {
			a.Children[0].Transport = true
		}, "b", event.CheckMode, "TUNNEL", "TRANSPORT", 1},
		{"no connection for the address", func(a, b *ike.Connection, _, _ *ike.Settings) {
			b.RemoteNets = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		}, "b", event.CheckConnection, "none for 192.0.2.2", "192.0.2.1", 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := NewPair(t, 1, row.change)
			if _, err := p.A.Initiate("gw"); err != nil {
				t.Fatal(err)
			}
			p.Run(time.Minute)
			p.Agree(row.ikes, 0)
			h := p.A
			if row.host == "b" {
				h = p.B
			}
			found := false
			for _, c := range h.Checks(row.kind, false) {
				found = found || strings.Contains(c.Local, row.local) && strings.Contains(c.Remote, row.remote)
			}
			if !found {
				t.Errorf("no failed %s tells local %q and remote %q: %+v", row.kind, row.local, row.remote, h.Checks(row.kind, false))
			}
			if len(p.A.Errs) == 0 {
				t.Error("the initiator has no error")
			}
		})
	}
}

func TestSelectorsAreNarrowedToWhatBothHave(t *testing.T) {
	p := NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
		a.Children[0].RemoteTS = Selectors("10.0.0.0/8")
		b.Children[0].RemoteTS = Selectors("10.1.7.0/24", "10.1.9.0/24", "10.99.0.0/16")
	})
	p.Up()
	p.Agree(1, 1)
	c := p.One(p.A).Model().Children[0]
	if got := strings.Join(c.LocalTS, " ") + " === " + strings.Join(c.RemoteTS, " "); got != "10.1.7.0/24 10.1.9.0/24 === 10.2.0.0/16" {
		t.Errorf("narrowed to %s", got)
	}
}

func TestTransportModeBetweenHosts(t *testing.T) {
	p := NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
		for _, c := range []*ike.Connection{a, b} {
			c.Children[0].Transport, c.Children[0].LocalTS, c.Children[0].RemoteTS = true, nil, nil
		}
	})
	p.Up()
	p.Agree(1, 1)
	if c := p.One(p.B).Model().Children[0]; c.Mode != "TRANSPORT" || c.LocalTS[0] != AddrB.String()+"/32" {
		t.Errorf("%s %v", c.Mode, c.LocalTS)
	}
}

func TestSilentPeerIsGivenUpAndChildrenGetWhatIsConfigured(t *testing.T) {
	for _, row := range []struct {
		name   string
		action ike.Action
	}{{"clear", ike.ActionClear}, {"start", ike.ActionStart}, {"trap", ike.ActionTrap}} {
		t.Run(row.name, func(t *testing.T) {
			p := NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
				a.DPDDelay = 30 * time.Second
				a.Children[0].DPDAction = row.action
				b.Unique = ike.UniqueReplace
			})
			a, _ := p.Up()
			p.Run(65 * time.Second)
			if d := a.Model().DPD; d.Answered != 2 || d.RTT.Or(0) != 2*time.Millisecond {
				t.Errorf("%d probes answered in %v, want 2 in 2ms", d.Answered, d.RTT.Or(0))
			}
			if err := p.B.Restart(); err != nil {
				t.Fatal(err)
			}
			p.Cut(true)
			p.Run(4 * time.Minute)
			p.Cut(false)
			p.Run(2 * time.Minute)
			if a.State() != engine.IKEFailed {
				t.Errorf("state %s", a.State())
			}
			want := 0
			if row.action == ike.ActionStart {
				want = 1
			}
			p.Agree(want, want)
			if trap := len(p.A.Again) == 1 && p.A.Again[0].Child == "net"; trap != (row.action == ike.ActionTrap) {
				t.Errorf("asked to trap: %v", trap)
			}
		})
	}
}

func TestReturnedPeerReplacesItsOldSA(t *testing.T) {
	for _, row := range []struct {
		name   string
		unique ike.Unique
		crash  bool
		want   int
	}{
		{"INITIAL_CONTACT after a crash", ike.UniqueNo, true, 1},
		{"a second SA stands beside the first", ike.UniqueNo, false, 2},
		{"a second SA replaces the first", ike.UniqueReplace, false, 1},
		{"a second SA is refused", ike.UniqueKeep, false, 1},
		{"INITIAL_CONTACT is not believed", ike.UniqueNever, true, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := NewPair(t, 1, func(_, b *ike.Connection, _, _ *ike.Settings) { b.Unique = row.unique })
			p.Up()
			if row.crash {
				if err := p.A.Restart(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := p.A.Initiate("gw"); err != nil {
				t.Fatal(err)
			}
			p.Run(time.Second)
			if n := len(p.B.Established()); n != row.want {
				t.Errorf("the responder has %d IKE SAs, want %d", n, row.want)
			}
			if !row.crash {
				p.Agree(row.want, row.want)
			}
		})
	}
}

func TestLifetimesReplaceAndEndSAs(t *testing.T) {
	p := NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
		a.Lifetime = ike.Lifetime{Rekey: time.Hour, Jitter: time.Minute}
		a.Children[0].Lifetime = ike.Lifetime{Rekey: 20 * time.Minute, Jitter: time.Minute}
	})
	a, _ := p.Up()
	if len(a.Timers()) < 3 {
		t.Errorf("timers %v", a.Timers())
	}
	p.Run(10 * time.Hour)
	p.Agree(1, 1)
	if n := p.A.Changes(event.IKERekey); n < 9 || n > 11 {
		t.Errorf("the IKE SA was replaced %d times in 10 hours", n)
	}
	if n := p.A.Changes(event.ChildRekey); n < 28 || n > 33 {
		t.Errorf("the child was replaced %d times in 10 hours", n)
	}
	p.Cut(true)
	p.Run(2 * time.Hour)
	if ikes, children := len(p.A.Established()), len(p.A.Plane.Children); ikes != 0 || children != 0 {
		t.Errorf("%d IKE SAs and %d children outlive their lifetime", ikes, children)
	}
}

// differentProposals gives n proposals of ESP, at most 63, no two the same and
// none that the peer of a pair has.
func differentProposals(n int) [][]wire.Transform {
	ciphers := []string{"aes128", "aes192", "aes256", "aes128ctr", "aes192ctr", "aes256ctr"}
	texts := make([]string, 0, n)
	for set := 1; set <= n; set++ {
		text := ""
		for bit, c := range ciphers {
			if set>>bit&1 == 1 {
				text += c + "-"
			}
		}
		texts = append(texts, text+"sha1-sha256-sha384-sha512-modp2048")
	}
	return mustProposals(wire.ProtocolESP, texts...)
}

func TestBigMessagesGoInFragments(t *testing.T) {
	p := NewPair(t, 1, func(a, b *ike.Connection, setA, setB *ike.Settings) {
		setA.FragmentSize, setB.FragmentSize = 576, 576
		a.Children[0].Proposals = append(differentProposals(60), b.Children[0].Proposals...)
	})
	p.Link.MTU, p.Link.Jitter, p.Link.Duplicate = 600, 50*time.Millisecond, 0.5
	p.Up()
	p.Agree(1, 1)
	largest := 0
	p.Judge = func(pk *Packet) Fate { largest = max(largest, len(pk.Octets)+28); return Deliver }
	if !strings.Contains(p.Ladder.String(), "IKE_AUTH request 1, ") {
		t.Error("IKE_AUTH went in one piece")
	}
	p.A.Command(p.One(p.A), ike.AddChild{Name: "net"})
	p.A.Command(p.One(p.A), ike.RekeyChild{SPI: keyOf(p.A)})
	p.Run(10 * time.Second)
	p.Agree(1, 1)
	if largest > 576 || largest < 500 {
		t.Errorf("the largest packet has %d octets, want nearly 576", largest)
	}
}

func keyOf(h *Host) wire.ESPSPI {
	for spi := range h.Plane.Children {
		return spi
	}
	return 0
}

func TestWindowOfFourAsksInParallel(t *testing.T) {
	p := NewPair(t, 1, secondChild, func(a, b *ike.Connection, setA, setB *ike.Settings) { setA.Window, setB.Window = 4, 4 })
	a, _ := p.Up()
	p.Judge = func(*Packet) Fate { return Hold }
	p.A.Command(a, ike.AddChild{Name: "more"})
	p.A.Command(a, ike.RekeyChild{SPI: keyOf(p.A)})
	if n := len(p.Held()); n != 2 {
		t.Fatalf("%d requests are on their way, want 2", n)
	}
	p.Release(p.Held()[1]) // out of order
	p.Judge = nil
	p.Release(p.Held()[0])
	for len(p.Held()) > 0 {
		p.Release(p.Held()[0])
	}
	p.Run(time.Second)
	p.Agree(1, 2)
}

func TestLifeReplaysFromItsSeed(t *testing.T) {
	for _, seed := range []uint64{7, 51} {
		if a, b := Live(t, seed), Live(t, seed); a.Ladder != b.Ladder {
			t.Errorf("seed %d: two ladders differ", seed)
		}
	}
}
