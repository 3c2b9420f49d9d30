package cli

import (
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// maxQuiet is the longest time between two words about one silence.
const maxQuiet = time.Minute

// silence says of a daemon that is followed that it does not answer, when it
// begins to owe its list of SAs and then ever more rarely, and that it answers
// again.
type silence struct {
	out *eventWriter

	mu     sync.Mutex
	listed time.Time // when the last list came; zero while the daemon is away
	told   bool
	timer  *time.Timer
	failed error // of writing
}

func watchSilence(out *eventWriter) *silence {
	s := &silence{out: out}
	s.timer = time.AfterFunc(time.Hour, s.due)
	s.timer.Stop() // until the first list
	return s
}

// heard takes an event of the daemon's. The error is one of writing.
func (s *silence) heard(e *event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Gap != nil && e.Gap.Away:
		// That it is away says more.
		s.timer.Stop()
		s.listed, s.told = time.Time{}, false
	case e.Table != nil:
		now := time.Now()
		if s.told && s.failed == nil {
			s.failed = s.tell(now, "the daemon answers again, after "+now.Sub(s.listed).Truncate(time.Second).String())
		}
		s.listed, s.told = now, false
		s.timer.Reset(backend.Patience + time.Millisecond)
	}
	return s.failed
}

// due comes when the list is overdue.
func (s *silence) due() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	silent := backend.Silent(s.listed, now)
	if silent == 0 || s.failed != nil {
		return
	}
	s.told = true
	s.failed = s.tell(now, backend.NoAnswer(silent)+": the daemon is there and does not answer; what it had before is of the past")
	s.timer.Reset(min(silent, maxQuiet))
}

func (s *silence) tell(at time.Time, what string) error {
	return s.out.event(&event.Event{Time: at, Gap: &event.Gap{What: what}})
}

// stop ends the watch.
func (s *silence) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	s.listed = time.Time{}
}
