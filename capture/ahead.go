package capture

import "io"

// Sizes of reading ahead.
const (
	aheadBlock  = 256 << 10
	aheadBlocks = 4
)

// ahead reads a file, or unpacks one, on a goroutine of its own while the
// consumer works on what came before. It must be stopped.
type ahead struct {
	filled chan block
	empty  chan []byte
	quit   chan struct{}
	done   chan struct{}
	now    block // unread octets of the block at hand
	whole  []byte
}

// block is a part of the stream, and what ended it.
type block struct {
	b   []byte
	err error
}

func newAhead(src io.Reader) *ahead {
	a := &ahead{
		filled: make(chan block, aheadBlocks),
		empty:  make(chan []byte, aheadBlocks),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	for range aheadBlocks {
		a.empty <- make([]byte, aheadBlock)
	}
	go a.run(src)
	return a
}

func (a *ahead) run(src io.Reader) {
	defer close(a.done)
	for {
		var b []byte
		select {
		case b = <-a.empty:
		case <-a.quit:
			return
		}
		n, err := src.Read(b[:aheadBlock])
		select {
		case a.filled <- block{b[:n], err}:
		case <-a.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read gives octets that were read ahead.
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.now.b) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.whole != nil {
			a.empty <- a.whole // never blocks: there are no more blocks than room
		}
		a.now = <-a.filled
		a.whole = a.now.b[:0]
	}
	n := copy(p, a.now.b)
	a.now.b = a.now.b[n:]
	if len(a.now.b) == 0 {
		return n, a.now.err
	}
	return n, nil
}

// stop ends the goroutine and waits for it; src may be closed after that.
func (a *ahead) stop() {
	close(a.quit)
	<-a.done
}
