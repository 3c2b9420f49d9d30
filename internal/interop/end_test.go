package interop_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// ourEnd is our side of one connection.
type ourEnd struct {
	at   *station
	t    *testing.T
	conn *ike.Connection
}

// connection is a connection of ours with one child, by the shared key of all
// rows; the initiator's says where the peer is.
func (st *station) connection(t *testing.T, role interop.Role, name, ours, peer, localTS, remoteTS string) *ike.Connection {
	t.Helper()
	c := &ike.Connection{Name: name, Local: st.local, LocalID: id(t, ours), RemoteID: auth.Exactly(id(t, peer)),
		Credentials: auth.SharedKeys{{Key: suite.NewSecret([]byte(secret))}},
		Children:    []*ike.ChildConfig{{Name: "net", LocalTS: prefixes(localTS), RemoteTS: prefixes(remoteTS)}}}
	if role == interop.Initiator {
		c.Remote = st.remote
	}
	return c
}

// add gives our engine the connection; what it told of others is forgotten.
func (o *ourEnd) add() {
	o.t.Helper()
	o.at.mu.Lock()
	o.at.events, o.at.errs = nil, nil
	o.at.mu.Unlock()
	var added error
	o.at.do(o.t, func(_ time.Time, e *ike.Endpoint) ike.Output {
		added = e.Add(o.conn)
		return ike.Output{}
	})
	if added != nil {
		o.t.Fatal(added)
	}
}

// begin has us begin.
func (o *ourEnd) begin() {
	o.t.Helper()
	o.at.do(o.t, func(now time.Time, e *ike.Endpoint) ike.Output {
		_, out, err := e.Initiate(now, o.conn.Name, netip.Addr{})
		if err != nil {
			o.t.Errorf("initiate: %v", err)
		}
		return out
	})
}

// drop takes the connection from our engine, and deletes its IKE SAs.
func (o *ourEnd) drop(ctx context.Context) {
	o.t.Helper()
	err := o.at.pump.Do(ctx, func(now time.Time, e *ike.Endpoint) ike.Output {
		e.Drop(o.conn.Name)
		var all ike.Output
		for _, s := range e.SAs() {
			if s.Connection() == o.conn {
				out := e.Command(now, s, ike.DeleteIKE{})
				all.Datagrams = append(all.Datagrams, out.Datagrams...)
				all.Updates = append(all.Updates, out.Updates...)
			}
		}
		return all
	})
	if err != nil {
		o.t.Error(err)
	}
}

// show logs what our side saw.
func (o *ourEnd) show() {
	o.at.mu.Lock()
	defer o.at.mu.Unlock()
	o.t.Logf("our errors: %s", strings.Join(o.at.errs, "; "))
	for i := range o.at.events {
		if s := o.at.events[i].Step; s != nil {
			o.t.Logf("%s: %s", s.Kind, s.Text)
		}
	}
}

// probe makes a liveness check and waits for the answer.
func (o *ourEnd) probe() {
	o.t.Helper()
	before := o.ours()[0].DPD.Answered
	o.command(ike.Probe{})
	o.until("the answer to a liveness check", func() bool {
		s := o.ours()
		return len(s) == 1 && s[0].DPD.Answered == before+1
	})
}

// childRekeyed has something begin the rekeying of the one child, and waits for
// its end: we do where peer is nil.
func (o *ourEnd) childRekeyed(peer func()) {
	o.t.Helper()
	old := o.spis()[0]
	if peer != nil {
		peer()
	} else {
		o.command(ike.RekeyChild{SPI: old})
	}
	o.until("the rekeying of the child", func() bool { s := o.spis(); return len(s) == 1 && s[0] != old })
}

// ikeRekeyed is the same for the IKE SA.
func (o *ourEnd) ikeRekeyed(peer func()) {
	o.t.Helper()
	old := o.ours()[0]
	if peer != nil {
		peer()
	} else {
		o.command(ike.RekeyIKE{})
	}
	o.until("the rekeying of the IKE SA", func() bool {
		s := o.ours()
		return len(s) == 1 && (s[0].InitiatorSPI != old.InitiatorSPI || s[0].ResponderSPI != old.ResponderSPI)
	})
}

// ours gives our IKE SAs of the tunnel that stand.
func (o *ourEnd) ours() []*engine.IKESA {
	o.t.Helper()
	var list []*engine.IKESA
	o.at.do(o.t, func(_ time.Time, p *ike.Endpoint) ike.Output {
		for _, s := range p.SAs() {
			if s.Connection() == o.conn && s.State() == engine.IKEEstablished {
				list = append(list, s.Model())
			}
		}
		return ike.Output{}
	})
	return list
}

// until waits for something to become true.
func (o *ourEnd) until(what string, ok func() bool) {
	o.t.Helper()
	if err := lab.Eventually(o.t.Context(), patience, what, ok); err != nil {
		o.t.Fatal(err)
	}
}

// spis gives the inbound SPIs of our children of the tunnel.
func (o *ourEnd) spis() []wire.ESPSPI {
	o.t.Helper()
	var list []wire.ESPSPI
	for _, s := range o.ours() {
		for _, c := range s.Children {
			list = append(list, c.SPIIn.Or(0))
		}
	}
	return list
}

// command gives a command to our IKE SA of the tunnel.
func (o *ourEnd) command(c ike.Command) {
	o.t.Helper()
	found := false
	o.at.do(o.t, func(now time.Time, p *ike.Endpoint) ike.Output {
		for _, s := range p.SAs() {
			if s.Connection() == o.conn && s.State() == engine.IKEEstablished {
				found = true
				return p.Command(now, s, c)
			}
		}
		return ike.Output{}
	})
	if !found {
		o.t.Fatalf("no IKE SA stands for %T", c)
	}
}

// checks gives what our side compared, of one kind.
func (o *ourEnd) checks(kind event.CheckKind) []event.Check {
	o.at.mu.Lock()
	defer o.at.mu.Unlock()
	var list []event.Check
	for i := range o.at.events {
		if c := o.at.events[i].Check; c != nil && c.Kind == kind {
			list = append(list, *c)
		}
	}
	return list
}

// stepped says whether our side reported a step of a kind.
func (o *ourEnd) stepped(kind string) bool {
	o.at.mu.Lock()
	defer o.at.mu.Unlock()
	return slices.ContainsFunc(o.at.events, func(e event.Event) bool { return e.Step != nil && e.Step.Kind == kind })
}

// signature gives how the peer signed, by the check of its signature.
func (o *ourEnd) signature() string {
	for _, c := range o.checks(event.CheckSignature) {
		if c.OK && c.RFC != "RFC 7427 4" {
			how, _, _ := strings.Cut(c.Remote, ",")
			return how
		}
	}
	return "no signature"
}

// tookCookie proves that the peer came back with our cookie.
func (o *ourEnd) tookCookie() {
	o.t.Helper()
	if c := o.checks(event.CheckCookie); !slices.ContainsFunc(c, func(c event.Check) bool { return c.OK }) {
		o.t.Errorf("checks of cookies: %v", c)
	}
}
