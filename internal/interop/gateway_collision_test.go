package interop_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// collisions has both sides rekey the same at once.
func (r *gatewayRig) collisions(t *testing.T) {
	detail := "either has sent its request before it sees the other's"
	switch r.gateway.Software() {
	case lab.Libreswan:
		detail += "; where it loses our answer while it computes for our request (\"discarding packet received during asynchronous work\") " +
			"it does not ask again, and ours stays"
	case lab.OpenIKED:
		detail += ", which it sends when a lifetime of three seconds is over"
	}
	r.eachRole(t, "rekeying: child SA by both at once", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("%s", detail)
		p := r.pair(t, role, func(p *pairing) {
			if !r.orders() {
				p.theirs.RekeyChild = byLifetime
			}
		})
		p.up()
		old := p.spis()[0]
		p.atOnce(p.gateway.RekeyChild, ike.RekeyChild{SPI: old})
		p.until("the collision to end", func() bool { s := p.spis(); return len(s) == 1 && s[0] != old })
		p.metAndAgreed()
	})
	r.eachRole(t, "rekeying: IKE SA by both at once", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("%s", detail)
		p := r.pair(t, role, func(p *pairing) {
			if !r.orders() {
				p.theirs.RekeyIKE = byLifetime
			}
		})
		p.up()
		old := p.ours()[0]
		p.atOnce(p.gateway.RekeyIKE, ike.RekeyIKE{})
		p.until("the collision to end", func() bool {
			s := p.ours()
			return len(s) == 1 && s[0].InitiatorSPI != old.InitiatorSPI
		})
		p.metAndAgreed()
	})
}

// atOnce has the peer begin a rekeying and us the same one before we have seen
// the peer's request.
func (p *pair) atOnce(order func(context.Context, string) error, c ike.Command) {
	p.t.Helper()
	if !p.orders() {
		order = func(context.Context, string) error { return nil } // it begins by itself
	}
	ordered := make(chan error, 1)
	p.do(p.t, func(now time.Time, e *ike.Endpoint) ike.Output {
		// While this runs, nothing of the peer's is taken: an order that waits
		// for its outcome must not be waited for.
		before := p.askedByItsLog()
		go func() { ordered <- order(p.t.Context(), p.theirs.Name) }()
		err := lab.Eventually(p.t.Context(), guestPatience, "the peer's request to be sent", func() bool { return p.askedByItsLog() > before })
		if err != nil {
			p.t.Error(err)
			return ike.Output{}
		}
		for _, s := range e.SAs() {
			if s.Connection() == p.conn && s.Why() == "" {
				return e.Command(now, s, c)
			}
		}
		return ike.Output{}
	})
	if err := <-ordered; err != nil {
		p.t.Logf("the peer's own word about its rekeying: %v", err)
	}
	if p.t.Failed() {
		p.t.FailNow()
	}
}

// asksByLog is what each gateway logs when it asks for an SA or its replacement.
var asksByLog = map[lab.Software]string{lab.StrongSwan: "generating CREATE_CHILD_SA request", lab.Libreswan: "sent CREATE_CHILD_SA request", lab.OpenIKED: "send CREATE_CHILD_SA req"}

// askedByItsLog counts the requests to make or to replace an SA that the
// gateway's log tells of.
func (p *pair) askedByItsLog() int {
	log, err := os.ReadFile(p.gateway.Log())
	if err != nil {
		return 0
	}
	return strings.Count(string(log[min(p.logAt, int64(len(log))):]), asksByLog[p.gateway.Software()])
}

// metAndAgreed proves that our side saw both rekeyings meet, and that both
// sides have the same afterwards.
func (p *pair) metAndAgreed() {
	p.t.Helper()
	p.agree(1)
	if !p.stepped("collision") {
		p.t.Error("our side saw no collision")
	}
	p.probe()
	if p.orders() { // else it goes on rekeying by itself
		p.rekeyChild(interop.Initiator)
	}
}
