package cli

import (
	"context"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// rememberer is a daemon that remembers events, and since when it was asked.
type rememberer struct {
	backend.Lister
	events []*event.Event
	asked  []time.Time
}

func (r *rememberer) Recall(_ context.Context, since time.Time) ([]*event.Event, error) {
	r.asked = append(r.asked, since)
	var all []*event.Event
	for _, e := range r.events {
		if !e.Time.Before(since) {
			all = append(all, e)
		}
	}
	return all, nil
}

func TestARecollectionFetchesWhatIsNewAlone(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	told := func(second int, number uint64) *event.Event { return &event.Event{Time: at(second), Number: number} }
	d := &rememberer{events: []*event.Event{told(10, 1), told(20, 2), told(30, 3)}}
	var r recollection
	for _, step := range []struct {
		what  string
		add   []*event.Event
		since int
		asked int
		want  []uint64
	}{
		{"all at first", nil, 15, 15, []uint64{2, 3}},
		{"what is there already, once", nil, 15, 30, []uint64{2, 3}},
		{"what was told at the same moment as the last", []*event.Event{told(30, 4)}, 15, 30, []uint64{2, 3, 4}},
		{"nothing that is too old by now", []*event.Event{told(40, 5)}, 25, 30, []uint64{3, 4, 5}},
		{"what the daemon tells that was started anew", []*event.Event{told(50, 1), told(60, 2)}, 25, 40, []uint64{3, 4, 5, 1, 2}},
		{"all anew where nothing is young enough", []*event.Event{told(90, 3)}, 80, 80, []uint64{3}},
	} {
		d.events = append(d.events, step.add...)
		got, err := r.since(t.Context(), d, at(step.since))
		if err != nil {
			t.Fatal(err)
		}
		if asked := d.asked[len(d.asked)-1]; !asked.Equal(at(step.asked)) {
			t.Errorf("%s: asked for what is told since %d, want %d", step.what, asked.Unix(), step.asked)
		}
		var numbers []uint64
		for _, e := range got {
			numbers = append(numbers, e.Number)
		}
		if len(numbers) != len(step.want) {
			t.Errorf("%s: events %v, want %v", step.what, numbers, step.want)
			continue
		}
		for i := range numbers {
			if numbers[i] != step.want[i] {
				t.Errorf("%s: events %v, want %v", step.what, numbers, step.want)
				break
			}
		}
	}
}
