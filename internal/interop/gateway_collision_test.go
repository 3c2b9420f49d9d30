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
	const child, own = "rekeying: child SA by both at once", "rekeying: IKE SA by both at once"
	lacks := map[lab.Software]string{
		lab.OpenIKED: "it has no order to rekey, so that nobody can say when it will",
		lab.Libreswan: "it loses the answer to its own request while it computes for ours (\"discarding packet received during asynchronous work\"), " +
			"and does not ask again: where its rekeying is the one to stay, it has none",
	}
	if why := lacks[r.gateway.Software()]; why != "" {
		for _, role := range interop.Roles() {
			r.rec.Lacks(role, child, why)
			r.rec.Lacks(role, own, why)
		}
		return
	}
	r.eachRole(t, child, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("either has sent its request before it sees the other's")
		p := r.pair(t, role, nil)
		p.up()
		old := p.spis()[0]
		p.atOnce(p.gateway.RekeyChild, ike.RekeyChild{SPI: old})
		p.until("the collision to end", func() bool { s := p.spis(); return len(s) == 1 && s[0] != old })
		p.metAndAgreed()
		p.rekeyChild(interop.Initiator)
	})
	r.eachRole(t, own, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("either has sent its request before it sees the other's")
		p := r.pair(t, role, nil)
		p.up()
		old := p.ours()[0]
		p.atOnce(p.gateway.RekeyIKE, ike.RekeyIKE{})
		p.until("the collision to end", func() bool {
			s := p.ours()
			return len(s) == 1 && s[0].InitiatorSPI != old.InitiatorSPI
		})
		p.metAndAgreed()
		p.rekeyChild(interop.Initiator)
	})
}

// atOnce has the peer begin a rekeying and us the same one before we have seen
// the peer's request.
func (p *pair) atOnce(order func(context.Context, string) error, c ike.Command) {
	p.t.Helper()
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

// askedByItsLog counts the requests that charon's log tells it has sent to make
// or to replace an SA.
func (p *pair) askedByItsLog() int {
	log, err := os.ReadFile(p.gateway.Log())
	if err != nil {
		return 0
	}
	return strings.Count(string(log[min(p.logAt, int64(len(log))):]), "generating CREATE_CHILD_SA request")
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
}
