package page

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/trace"
)

func TestLeftOutExchangesStandWhereTheMessageIDsJump(t *testing.T) {
	sa := &trace.IKESA{Skipped: 900}
	for _, id := range []uint32{0, 1, 2, 3, 904, 905} {
		x := &trace.Exchange{SA: sa, MessageID: id, By: trace.Initiator, Request: &trace.Message{}, Response: &trace.Message{}}
		sa.Exchanges = append(sa.Exchanges, x)
	}
	p := NewExchanges()
	p.addSA(sa)
	for i, r := range p.rows {
		if r.kind == rungSkipped {
			if next := p.rows[i+1].exchange.MessageID; next != 904 {
				t.Errorf("the gap stands before message id %d, want 904", next)
			}
			return
		}
	}
	t.Error("the gap is not shown")
}

func TestUnansweredIsSaidOnceAndAfterEveryRepeat(t *testing.T) {
	sa := &trace.IKESA{}
	sa.Version = 2
	sa.Exchanges = []*trace.Exchange{{
		SA: sa, By: trace.Responder, Request: &trace.Message{Frame: 1}, RequestRepeats: 40, Repeats: []trace.Repeat{{Frame: 2}, {Frame: 3}},
	}}
	p := NewExchanges()
	p.addSA(sa)
	last := p.rows[len(p.rows)-1]
	if last.kind != rungSilence || rungNote(last).Text != "no answer, sent 41 times" || len(p.rows) != 5 {
		t.Errorf("%d rows, the last says %q", len(p.rows), rungNote(last).Text)
	}
	if !p.rows[1].leftward() {
		t.Error("a request of the responder points right")
	}
}

func TestAnSAOfADaemonThatIsQuietSaysSo(t *testing.T) {
	p := NewExchanges()
	p.daemon = true
	p.addSA(&trace.IKESA{})
	p.addSA(&trace.IKESA{Ended: trace.EndVanished})
	if n := len(p.rows); n != 3 || p.rows[1].kind != rungQuiet {
		t.Errorf("there are %d rows, want the two heads, and one for the quiet one that stands", n)
	}
}
