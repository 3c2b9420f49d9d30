package peer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

func (r *run) child() (Status, string) {
	ctx, cancel := r.patient()
	defer cancel()
	if r.childFailed != nil {
		return Fail, reason(r.childFailed)
	}
	sa, err := r.sa(ctx)
	if err != nil || sa == nil || len(sa.Children) == 0 {
		r.childFailed = errors.New("no child SA stands")
		return Fail, r.childFailed.Error()
	}
	c := sa.Children[0]
	return Pass, fmt.Sprintf("%s === %s, %s", strings.Join(c.LocalTS, ","), strings.Join(c.RemoteTS, ","), c.Suite.Keyword)
}

// fullSize is the data of a ping that fills a tunnel of the usual MTU.
const fullSize = 1372

func (r *run) traffic() (Status, string) {
	if r.childFailed != nil {
		return Skip, noChild
	}
	if !r.target.Ping.IsValid() {
		return Skip, "no address inside the tunnel is known to answer; --ping names one"
	}
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	var words []string
	headers := 20 + 8 // IPv4 and ICMP
	if r.target.Ping.Is6() {
		headers = 40 + 8
	}
	for _, size := range []int{56, fullSize} {
		rtt, sent, err := r.ping(ctx, size)
		inner := diag.ProbeSize{Octets: size + headers, Sent: sent}
		if err == nil {
			inner.Answered = 1
		}
		r.probe.Inner = append(r.probe.Inner, inner)
		if err != nil {
			if len(words) > 0 {
				return Fail, fmt.Sprintf("%s; of %d octets: %s", strings.Join(words, "; "), size+8, err)
			}
			return Fail, err.Error()
		}
		words = append(words, fmt.Sprintf("ping of %d octets in %s", size+8, rtt.Round(10*time.Microsecond)))
	}
	return Pass, strings.Join(words, "; ")
}

// ping sends pings until one is answered: the first may wait for a route or an
// ARP answer behind the peer.
func (r *run) ping(ctx context.Context, size int) (rtt time.Duration, sent int, err error) {
	for sent < 3 {
		sent++
		limited, cancel := context.WithTimeout(ctx, time.Second)
		rtt, err = r.engine.Ping(limited, r.target.Ping, size)
		cancel()
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return rtt, sent, err
}

func (r *run) dpd() (Status, string) {
	ctx, cancel := r.patient()
	defer cancel()
	p, err := r.engine.DPD(ctx, r.target.Connection, r.add)
	switch {
	case err != nil:
		return Fail, reason(err)
	case !p.Answered:
		return Fail, fmt.Sprintf("no answer after %d retransmissions", p.Retransmissions)
	}
	if rtt, ok := p.RTT.Get(); ok {
		return Pass, fmt.Sprintf("answered in %s", rtt.Round(10*time.Microsecond))
	}
	return Pass, "answered"
}

// rekey brings forward what otherwise comes after an hour, and after four.
func (r *run) rekey() (Status, string) {
	if r.childFailed != nil {
		return Skip, noChild
	}
	var words []string
	for _, x := range []struct {
		what   string
		target backend.Target
		mark   func(*engine.IKESA) string
	}{
		{"child SA", backend.Target{IKE: r.target.Connection, Child: r.target.Child}, func(sa *engine.IKESA) string {
			for _, c := range sa.Children {
				if c.State == engine.ChildInstalled {
					return c.SPIIn.Or(0).String()
				}
			}
			return ""
		}},
		{"IKE SA", backend.Target{IKE: r.target.Connection}, func(sa *engine.IKESA) string {
			if sa.State != engine.IKEEstablished {
				return ""
			}
			return sa.InitiatorSPI.String()
		}},
	} {
		took, err := r.replaced(x.target, x.mark)
		if err != nil {
			return Fail, fmt.Sprintf("%s: %s", x.what, reason(err))
		}
		words = append(words, fmt.Sprintf("%s in %s", x.what, took.Round(100*time.Microsecond)))
	}
	return Pass, strings.Join(words, ", ")
}

// replaced has something rekeyed and waits until another one stands in its
// place. The events of it are folded in.
func (r *run) replaced(t backend.Target, mark func(*engine.IKESA) string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.o.Patience/2)
	defer cancel()
	began := r.o.Now()
	before, asked := "", false
	var failed error
	for e, err := range r.engine.Events(ctx, backend.EventOptions{Every: 20 * time.Millisecond}) {
		if err != nil {
			return 0, err
		}
		r.add(e)
		if e.Log != nil && e.Log.Failure != nil {
			failed = errors.New(e.Log.Text)
		}
		if e.Table == nil {
			continue
		}
		for _, sa := range e.Table.SAs {
			if now := mark(sa); asked && now != "" && now != before && len(sa.TasksActive) == 0 {
				return r.o.Now().Sub(began), nil
			}
		}
		if asked {
			if failed != nil {
				return 0, failed
			}
			continue
		}
		for _, sa := range e.Table.SAs {
			before = mark(sa)
		}
		if _, err := r.engine.Rekey(ctx, t, backend.RekeyOptions{}); err != nil {
			return 0, err
		}
		asked, began = true, r.o.Now()
	}
	if failed != nil {
		return 0, failed
	}
	return 0, fmt.Errorf("it was not replaced within %s", r.o.Patience/2)
}

func (r *run) remove() (Status, string) {
	ctx, cancel := r.patient()
	defer cancel()
	began := r.o.Now()
	if err := r.engine.Down(ctx, backend.Target{IKE: r.target.Connection}, backend.DownOptions{}, r.add); err != nil {
		return Fail, reason(err)
	}
	return Pass, fmt.Sprintf("the peer confirmed it in %s", r.o.Now().Sub(began).Round(10*time.Microsecond))
}
