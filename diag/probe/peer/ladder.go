package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Variation is another way to authenticate, that differs from the configured
// one in one thing.
type Variation struct {
	Connection string // of the engine, that has it
	Kind, Near string // see diag.Try
	Says       string // in words
}

// DefaultPace is the time between two tries.
const DefaultPace = 500 * time.Millisecond

// refusedOpaquely says that the peer refused the authentication without a
// reason, or for one that what it asked for only makes likely.
func (r *run) refusedOpaquely() bool {
	return slices.ContainsFunc(r.findings(), func(f diag.Finding) bool {
		return f.ID == "auth-failed-opaque" || f.ID == "cert-untrusted-issuer" && f.Confidence != diag.Certain
	})
}

// ladder tries other ways to authenticate, one difference at a time, until the
// peer answers in another way; it gives the outcome in words. Peers may lock out
// who fails often: the tries are few, have a pause between them, and end when
// the peer falls silent.
func (r *run) ladder() string {
	list := r.target.Variations
	if len(list) == 0 || !r.refusedOpaquely() {
		return ""
	}
	if r.o.Ladder <= 0 {
		return fmt.Sprintf("; --ladder tries up to %d other ways to authenticate with this peer", min(len(list), DefaultLadder))
	}
	list = list[:min(len(list), r.o.Ladder)]
	for i := range list {
		select {
		case <-r.ctx.Done():
			return fmt.Sprintf("; interrupted after %d tries", i)
		case <-time.After(r.o.Pace):
		}
		t := r.try(&list[i])
		r.probe.Tries = append(r.probe.Tries, t)
		if r.o.TellTry != nil {
			r.o.TellTry(i+1, len(list), t)
		}
		switch {
		case t.Accepted:
			return fmt.Sprintf("; tried %d other %s: %s is accepted", i+1, ways(i+1), t.Says)
		case t.Answer == "":
			return fmt.Sprintf("; tried %d other %s: then the peer fell silent (it may lock out who fails too often)", i+1, ways(i+1))
		}
	}
	return fmt.Sprintf("; tried %d other %s to authenticate: each was refused", len(list), ways(len(list)))
}

// DefaultLadder is how many other ways are tried where nobody says how many.
const DefaultLadder = 12

func ways(n int) string {
	if n == 1 {
		return "way"
	}
	return "ways"
}

// try authenticates in one other way, and takes down what comes up.
func (r *run) try(v *Variation) diag.Try {
	t := diag.Try{Kind: v.Kind, Near: v.Near, Says: v.Says, Time: r.o.Now()}
	ctx, cancel := r.patient()
	defer cancel()
	seen := trace.New(trace.Options{})
	err := r.engine.Up(ctx, backend.Target{IKE: v.Connection, Child: r.target.Child}, backend.UpOptions{}, func(e *event.Event) { seen.Add(e) })
	sas, listed := r.engine.SAs(ctx, backend.Filter{IKE: v.Connection})
	if listed == nil && len(sas) > 0 && sas[0].State == engine.IKEEstablished {
		t.Accepted, t.PeerID, t.Answer = true, sas[0].Remote.ID, "authenticated"
		// What it was for is known; the peer's answer is of no use.
		_ = r.engine.Down(ctx, backend.Target{IKE: v.Connection}, backend.DownOptions{}, nil)
		return t
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return t
	}
	t.Answer = answer(seen)
	if t.Answer == "" && err != nil && answered(seen) {
		// The peer rules it out by what it announces: nothing was sent.
		t.Answer = "not tried: " + reason(err)
	}
	if id := peerID(seen); id != "" {
		// The peer took our proof: it is this side that refuses.
		t.Accepted, t.PeerID = true, id
	}
	return t
}

// answer names what IKE_AUTH, or what came before it, was answered with; ""
// where nothing answered.
func answer(t *trace.Trace) string {
	for i := len(t.SAs) - 1; i >= 0; i-- {
		for _, x := range slices.Backward(t.SAs[i].Exchanges) {
			if x.Response == nil || x.By != trace.Initiator {
				continue
			}
			var words []string
			for j := range x.Response.Payloads {
				if n, ok := x.Response.Payloads[j].Body.(*wire.Notify); ok && n.Type.Error() {
					words = append(words, n.Type.String())
				}
			}
			if len(words) > 0 {
				return strings.Join(words, ", ")
			}
			if x.Type == wire.ExchangeIKEAuth {
				if p := wire.First(x.Response.Payloads, wire.PayloadEAP); p != nil {
					if e, ok := p.Body.(*wire.EAP); ok && e.HasType {
						return "the peer begins EAP, with " + e.Type.String()
					}
				}
				return "an answer without an error"
			}
		}
	}
	return ""
}

// answered says that IKE_SA_INIT was answered and IKE_AUTH never sent.
func answered(t *trace.Trace) bool {
	for _, sa := range t.SAs {
		if len(sa.Auth) > 0 {
			return false
		}
	}
	return slices.ContainsFunc(t.SAs, func(sa *trace.IKESA) bool { return sa.Init != nil && sa.Init.Response != nil })
}

// peerID gives the identity with which a peer answered IKE_AUTH, "" where it
// refused.
func peerID(t *trace.Trace) string {
	for _, sa := range t.SAs {
		for _, x := range sa.Auth {
			if x.Response == nil {
				continue
			}
			if p := wire.First(x.Response.Payloads, wire.PayloadIDr); p != nil {
				if id, ok := p.Body.(*wire.ID); ok {
					return id.String()
				}
			}
		}
	}
	return ""
}
