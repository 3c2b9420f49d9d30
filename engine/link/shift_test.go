package link

import (
	"testing"
	"time"
)

func TestAReaderThatIsNeverIdlePausesBeforeTheMonitorMinds(t *testing.T) {
	const monitor = 10 * time.Millisecond
	var s shift
	begin := time.Unix(1, 0)
	last, longest := begin, time.Duration(0)
	for at := time.Duration(0); at < time.Second; at += 300 * time.Microsecond {
		if now := begin.Add(at); s.over(now) {
			longest = max(longest, now.Sub(last))
			last = now
		}
	}
	if longest == 0 || longest > monitor/2 {
		t.Errorf("it paused every %s", longest)
	}
	if s.over(last.Add(time.Millisecond)) {
		t.Error("it pauses all the time")
	}
	s = shift{}
	pauses := 0
	for at := time.Duration(0); at < time.Second; at += shiftLength { // one packet now and then
		if s.over(begin.Add(at)) {
			pauses++
		}
	}
	if most := int(time.Second/shiftLength) / shiftTurns; pauses > most {
		t.Errorf("one that is idle most of the time pauses %d times a second", pauses)
	}
}
