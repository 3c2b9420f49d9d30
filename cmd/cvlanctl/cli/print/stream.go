package print

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// streamBuffer is how many octets are put together before they are written.
const streamBuffer = 256 << 10

// flushEvery is how long a line waits at most on a live Stream.
const flushEvery = 100 * time.Millisecond

// Stream writes lines as they come: through a large buffer, which a live
// Stream empties every tenth of a second so that a reader sees what happens
// while nothing more does.
type Stream struct {
	mu   sync.Mutex
	w    *bufio.Writer
	stop chan struct{} // nil where not live
	done chan struct{}
}

// NewStream makes a Stream on w; Close ends it.
func NewStream(w io.Writer, live bool) *Stream {
	s := &Stream{w: bufio.NewWriterSize(w, streamBuffer)}
	if live {
		s.stop, s.done = make(chan struct{}), make(chan struct{})
		go s.keepFlushing()
	}
	return s
}

func (s *Stream) keepFlushing() {
	defer close(s.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.mu.Lock()
			// An error stays in the buffered writer, and Write reports it.
			_ = s.w.Flush()
			s.mu.Unlock()
		}
	}
}

// Write takes p over.
func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// Close writes what is left. It does not close the underlying writer.
func (s *Stream) Close() error {
	if s.stop != nil {
		close(s.stop)
		<-s.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Flush()
}
