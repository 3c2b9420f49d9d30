package feed_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

func TestDaemonsTrafficLogAndLossAreKept(t *testing.T) {
	s := feed.NewStore(feed.Options{Daemon: true, Live: true, MaxLines: 2})
	start := time.Unix(1_700_000_000, 0)
	child := &engine.ChildSA{Name: "net", UniqueID: 1, State: engine.ChildInstalled, SPIIn: engine.Some(wire.ESPSPI(0xc0000001))}
	table := func(after time.Duration, octets uint64) {
		child.BytesIn, child.BytesOut = engine.Some(octets), engine.Some(2*octets)
		sa := &engine.IKESA{Name: "office", UniqueID: 1, State: engine.IKEEstablished, InitiatorSPI: 7, Children: []*engine.ChildSA{child}}
		s.Add(&event.Event{Time: start.Add(after), Table: &event.Table{SAs: []*engine.IKESA{sa}, First: after == 0}})
	}
	table(0, 1000)
	table(2*time.Second, 3000)
	s.Add(&event.Event{Time: start.Add(3 * time.Second), Log: &event.Log{Group: "IKE", Level: 1, IKE: "office", IKEID: 1, Text: "x"}})
	s.Add(&event.Event{Time: start.Add(4 * time.Second), Gap: &event.Gap{What: "gone", Away: true}})
	s.Hold()
	defer s.Release()
	d := s.Daemon()
	if r := d.Rates(child); r == nil || r.In[len(r.In)-1] != 1000 || r.Out[len(r.Out)-1] != 2000 {
		t.Errorf("rates %+v, want 1000 in and 2000 out", r)
	}
	if !d.Away.Equal(start.Add(4*time.Second)) || d.Why != "gone" || s.Trace().Daemon.Connected {
		t.Errorf("away since %v, %q", d.Away, d.Why)
	}
	l := s.Log()
	if l.Len() != 2 || l.Forgotten() != 1 || l.At(0).IKE != "office" || l.At(1).Mood != feed.Upset {
		t.Errorf("%d lines, %d forgotten, %+v", l.Len(), l.Forgotten(), l.At(0))
	}
}
