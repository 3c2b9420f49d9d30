package tui_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/enginetest"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

// outerA is where a NAT lets host a appear.
var outerA = netip.MustParseAddr("198.51.100.7")

// pairBehindNAT is two engines of ours under virtual time, a behind a NAT.
func pairBehindNAT(t *testing.T, changes ...enginetest.Change) (*enginetest.Pair, *enginetest.NAT) {
	p := enginetest.NewPair(t, 7, append(changes, func(a, b *ike.Connection, _, _ *ike.Settings) {
		b.Remote = outerA
		for _, c := range []*ike.Connection{a, b} {
			c.DPDDelay = 10 * time.Second
			c.Lifetime = ike.Lifetime{Rekey: 4 * time.Hour}
			c.Children[0].Lifetime = ike.Lifetime{Rekey: time.Hour}
		}
	})...)
	return p, p.A.Behind(outerA)
}

// told is what the screen is told by the engine of host b, as its events were and
// as its SAs are now, all numbered as the engine numbers them.
func told(p *enginetest.Pair) *feed.Store {
	h := p.B
	s := feed.NewStore(feed.Options{Title: "engine:/run/cvlanctl/engine.vici", Live: true, Daemon: true, Trace: trace.Options{KeepOctets: true},
		Diagnose: func(t *trace.Trace) []diag.Finding {
			return diag.Diagnose(&diag.Facts{Source: "engine", Trace: t, Now: t.Last, Live: true}, rule.All())
		}})
	s.SetConfiguration(engine.Version{Daemon: "cvlanctl", Version: "1.0"}, []*engine.Connection{{
		Name: "gw", Version: "IKEv2", LocalAddrs: []string{enginetest.AddrB.String()}, RemoteAddrs: []string{outerA.String()},
		Children: []*engine.ChildConfig{{Name: "net", Mode: "TUNNEL", LocalTS: []string{"10.2.0.0/16"}, RemoteTS: []string{"10.1.0.0/16"}}},
	}})
	s.Add(&event.Event{Time: enginetest.Start, Table: &event.Table{First: true}})
	number := func(sa *engine.IKESA) {
		sa.UniqueID = 1
		for _, c := range sa.Children {
			c.UniqueID = 1
		}
	}
	for i := range h.Events {
		e := h.Events[i]
		if e.Change != nil {
			number(e.Change.SA)
		}
		s.Add(&e)
	}
	now := &event.Table{}
	for _, sa := range h.Established() {
		m := sa.Model()
		number(m)
		now.SAs = append(now.SAs, m)
	}
	s.Add(&event.Event{Time: p.Now(), Table: now})
	s.Diagnose()
	return s
}

// movedAndSilent is the engine of a responder, 77 seconds after its tunnel came
// up: the NAT before its peer took another port on the way, and now its peer does
// not answer.
func movedAndSilent(t *testing.T) (*feed.Store, time.Time) {
	p, nat := pairBehindNAT(t)
	p.Up()
	p.Run(25 * time.Second)
	nat.Rebind()
	p.Run(40 * time.Second)
	p.Cut(true)
	p.Run(12 * time.Second)
	return told(p), p.Now()
}

// refusing is the engine of a responder whose preshared key is not the peer's.
func refusing(t *testing.T) (*feed.Store, time.Time) {
	p, _ := pairBehindNAT(t, func(_, b *ike.Connection, _, _ *ike.Settings) {
		b.Credentials = auth.SharedKeys{{Key: suite.NewSecret([]byte("another key"))}}
	})
	for range 3 {
		if _, err := p.A.Initiate("gw"); err != nil {
			t.Fatal(err)
		}
		p.Run(10 * time.Second)
	}
	return told(p), p.Now()
}

func TestOurEnginesScreensAreAsTheyWereLookedAt(t *testing.T) {
	for _, v := range []struct {
		name, pages string
		source      func(*testing.T) (*feed.Store, time.Time)
	}{
		{"moved", "1345", movedAndSilent},
		{"refusing", "135", refusing},
	} {
		for _, size := range append(sizes, struct{ width, height int }{160, 50}) {
			store, now := v.source(t)
			d := drive(t, store, size.width, size.height, func(o *tui.Options) { o.Now = func() time.Time { return now } })
			for _, page := range v.pages {
				name := map[rune]string{'1': "tunnels", '3': "nat", '4': "timers", '5': "diagnoses"}[page]
				golden(t, fmt.Sprintf("engine-%s-%s-%dx%d.txt", v.name, name, size.width, size.height), d.press(string(page)).text())
				wellFormed(t, d, size.width, size.height)
			}
		}
	}
}
