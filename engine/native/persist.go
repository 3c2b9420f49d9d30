package native

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
)

const (
	// defaultPatience is how long a child that is to be up rests after an
	// attempt that failed. The attempt itself takes minutes where nobody answers.
	defaultPatience = 5 * time.Second
	// maxRest is how often longer the rest becomes.
	maxRest = 12
)

// wish is a child that is to be up and is not yet.
type wish struct {
	context.Context // ends with it
	end             context.CancelFunc
}

// wishes are all of them. Each has one goroutine, whatever the number of
// reasons for it. It is safe for concurrent use.
type wishes struct {
	mu   sync.Mutex
	list map[backend.Target]*wish
}

// add takes a wish down, nil where it is there already.
func (w *wishes) add(ctx context.Context, t backend.Target) *wish {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list[t] != nil {
		return nil
	}
	if w.list == nil {
		w.list = map[backend.Target]*wish{}
	}
	one := &wish{}
	one.Context, one.end = context.WithCancel(ctx)
	w.list[t] = one
	return one
}

// done ends a wish.
func (w *wishes) done(t backend.Target, one *wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one.end()
	if w.list[t] == one {
		delete(w.list, t)
	}
}

// drop ends the wishes that a target of Down covers, and gives how many.
func (w *wishes) drop(t backend.Target) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for of, one := range w.list {
		if t.IKE+t.Child != "" && (t.IKE == "" || t.IKE == of.IKE) && (t.Child == "" || t.Child == of.Child) {
			one.end()
			delete(w.list, of)
			n++
		}
	}
	return n
}

// persist brings a child up, after a pause of about that length, and does not
// give in before it is up, taken down, or gone from what is configured.
func (e *Engine) persist(t backend.Target, pause time.Duration) {
	w := e.wishes.add(e.run, t)
	if w == nil {
		return
	}
	e.work.Go(func() {
		defer e.wishes.done(t, w)
		if pause > 0 && !w.rest(somewhat(pause)) {
			return
		}
		for rest := e.options.Patience; ; rest = min(2*rest, maxRest*e.options.Patience) {
			// What goes wrong is told by the events.
			if e.Up(w, t, backend.UpOptions{}, nil) == nil {
				return
			}
			wait := somewhat(rest)
			if _, err := e.wanted(t); err != nil || e.Note(w, "IKE", fmt.Sprintf("%s is to be up: tried again in %s", name(t), wait.Round(time.Millisecond))) != nil {
				return
			}
			if !w.rest(wait) {
				return
			}
		}
	})
}

// somewhat is up to a half less, so that not all ask at once where many wait for
// one peer.
func somewhat(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// rest waits, and says whether the wish stands afterwards.
func (w *wish) rest(d time.Duration) bool {
	select {
	case <-w.Done():
		return false
	case <-time.After(d):
		return true
	}
}
