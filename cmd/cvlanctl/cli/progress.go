package cli

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/cloudvlan/cvlanctl/capture"
)

// progress is the line on standard error that says how far a long reading is.
// It is shown on a terminal only, and not before a second has passed.
type progress struct {
	app     *App
	counter capture.Counter // nil where there is nothing to show it on, or nothing to count
	next    time.Time
	shown   bool
}

func newProgress(app *App, source capture.Source) *progress {
	p := &progress{app: app, next: time.Now().Add(time.Second)}
	// Lines of a result and a progress line on one terminal would mix.
	if app.Term.ErrTTY && !app.Term.OutTTY {
		p.counter, _ = source.(capture.Counter)
	}
	return p
}

func (p *progress) show() {
	if p.counter == nil || time.Now().Before(p.next) {
		return
	}
	p.next = time.Now().Add(time.Second / 4)
	p.shown = true
	s := p.counter.Stats()
	fmt.Fprintf(p.app.Term.Err, "\r%d frames, %d MiB\x1b[K", s.Frames, s.Octets>>20)
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.app.Term.Err, "\r\x1b[K")
	}
}

// checkEvery is after how many frames an interrupt and the progress line are
// looked at.
const checkEvery = 4096

// watchedSource passes on a Source's frames until ctx ends, and shows the
// progress.
type watchedSource struct {
	ctx      context.Context
	source   capture.Source
	progress *progress
}

// Frames yields the frames and errors of the source, and ctx's error where
// that ended it.
func (w *watchedSource) Frames() iter.Seq2[capture.Frame, error] {
	return func(yield func(capture.Frame, error) bool) {
		defer w.progress.clear()
		n := 0
		for f, err := range w.source.Frames() {
			if n++; n%checkEvery == 0 {
				if ended := w.ctx.Err(); ended != nil {
					yield(capture.Frame{}, ended)
					return
				}
				w.progress.show()
			}
			if !yield(f, err) {
				return
			}
		}
	}
}
