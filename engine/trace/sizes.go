package trace

import (
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

// Large is from how many octets on an ESP packet is one that a path may be too
// narrow for, in octets of the ESP packet itself.
const Large = 1000

// How packets of the two directions belong together, without a look inside: what
// comes soon after a packet may be its answer, and a packet whose sender goes on
// after a pause in which nothing came has had none.
const (
	answerSoon  = 2 * time.Second
	answerPause = 500 * time.Millisecond
)

// Sizes says which lengths of a Flow the other side seems to answer.
type Sizes struct {
	Answered       int64 // packets that were followed by one the other way
	AnsweredLength int   // octets of the longest of them
	Lost           []LostSize
}

// LostSize is a length of Large packets that nothing came after.
type LostSize struct {
	Length     int // octets of the ESP packet
	Count      int64
	Asking     int64 // of Count, opened ones of TCP, ICMP or ICMPv6, which are answered where they arrive
	First      time.Time
	FirstFrame int64
	Last       time.Time
	LastFrame  int64
}

// maxLost bounds the lengths that a flow keeps of what was lost.
const maxLost = 8

// waiting is the last packet of a direction, until something comes the other way.
type waiting struct {
	flow   *Flow
	at     time.Time
	frame  int64
	length int
	asking bool
}

// size tells the lengths that are answered from those that are not.
func (t *Trace) size(f *Flow, e *event.Event, s *event.SecurityPacket) {
	if f.SA == nil {
		return
	}
	own, theirs := &f.SA.waits[0], &f.SA.waits[1]
	if f.Dst.Addr() == f.SA.Local.Host {
		own, theirs = theirs, own
	}
	if w := own; w.flow != nil && w.length >= Large && e.Time.Sub(w.at) >= answerPause {
		w.flow.Sizes.lose(w)
	}
	if w := theirs; w.flow != nil {
		if e.Time.Sub(w.at) <= answerSoon {
			w.flow.Sizes.Answered++
			w.flow.Sizes.AnsweredLength = max(w.flow.Sizes.AnsweredLength, w.length)
		}
		*w = waiting{}
	}
	*own = waiting{flow: f, at: e.Time, frame: e.Frame, length: e.Packet.Length, asking: s.Inner != nil && asks(s.Inner.Protocol)}
}

// asks says that packets of a protocol have an answer where they are of some
// length: IP protocol numbers.
func asks(protocol uint8) bool {
	const icmp, tcp, icmpV6 = 1, 6, 58
	return protocol == icmp || protocol == tcp || protocol == icmpV6
}

func (z *Sizes) lose(w *waiting) {
	at := -1
	for i := range z.Lost {
		if z.Lost[i].Length == w.length {
			at = i
		}
	}
	if at < 0 {
		if len(z.Lost) == maxLost {
			return
		}
		at = len(z.Lost)
		z.Lost = append(z.Lost, LostSize{Length: w.length, First: w.at, FirstFrame: w.frame})
	}
	l := &z.Lost[at]
	l.Count++
	if w.asking {
		l.Asking++
	}
	l.Last, l.LastFrame = w.at, w.frame
}
