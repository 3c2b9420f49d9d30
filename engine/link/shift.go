package link

import (
	"runtime"
	"sync"
	"time"
)

// The runtime's monitor thread looks every 20 µs, while it finds something to
// do, for goroutines that have a processor and do not use it: those in a system
// call where no other processor is idle, and all that ran for 10 ms without a
// change, which it also sends a signal. It takes their processors away, and they
// have to find one again. A plane's readers are in system calls nearly always and
// never wait for each other, so that on two cores it did so all the time, for a
// fifth of what carrying packets costs. SpareProcessors leaves a processor idle,
// and a shift makes the change in time.

// shiftLength is how long a goroutine works at most until it lets others run, and
// shiftTurns how often it has work in that time at least: one that waits for most
// of it is no hindrance, and others that are woken then would be one to its peer.
const (
	shiftLength = 4 * time.Millisecond
	shiftTurns  = 8
)

// spareProcessors are for the readers of the device and of a socket.
const spareProcessors = 2

// SpareProcessors gives the runtime more processors (GOMAXPROCS) than there are
// cores, so that readers that wait in the kernel keep theirs. It is for a program
// whose work it is to carry packets, and gives the number of cores before, for
// PlaneOptions. Only the first call changes anything.
var SpareProcessors = sync.OnceValue(func() int {
	cores := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(cores + spareProcessors)
	return cores
})

// shift is the time that a goroutine works without a pause. Its zero value is the
// beginning of one.
type shift struct {
	began time.Time
	turns int
}

// over counts a turn, says whether a pause is due, and begins the next shift if
// so.
func (s *shift) over(now time.Time) bool {
	if s.turns++; s.turns < shiftTurns || now.Sub(s.began) < shiftLength {
		return false
	}
	*s = shift{began: now}
	return true
}

// pause lets others run where it is due, before each turn.
func (s *shift) pause() {
	if s.over(time.Now()) {
		runtime.Gosched()
	}
}
