package ike

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// task is one thing to be settled with the peer by a request, or several.
type task interface {
	// name says in words what the task is for.
	name() string
	// build makes the payloads of the next request. ok is false where there is
	// nothing to be asked any more: the task is then dropped.
	build(s *SA) (x wire.ExchangeType, ps []wire.Payload, ok bool)
	// answer takes the response.
	answer(s *SA, m *message)
	// abandon tells that no answer will come, because the SA has ended.
	abandon(s *SA)
}

// request is one of ours that waits for its answer.
type request struct {
	id    uint32
	task  task
	wire  [][]byte // as sent, without marker: the message, or its fragments
	tries int      // repetitions
	next  time.Time
	first time.Time
	told  *event.Packet // as it was reported, nil where that is not wanted
}

// window is the side that asks (RFC 7296 2.3).
type window struct {
	next     uint32 // message id of the next request
	size     int    // how many the peer takes at once; 0 stands for 1
	requests []*request
	queue    []task
	waits    map[task]time.Time // tasks of the queue that have to wait
}

// maxQueue bounds the tasks of one SA.
const maxQueue = 1024

// push queues a task.
func (s *SA) push(t task) {
	if s.ended() {
		t.abandon(s)
		return
	}
	if len(s.out.queue) >= maxQueue {
		s.note("limit", "", "%d tasks wait already: %s is dropped", maxQueue, t.name())
		t.abandon(s)
		return
	}
	s.out.queue = append(s.out.queue, t)
}

// later queues a task for a retry.
func (s *SA) later(t task, d time.Duration) {
	s.push(t)
	if s.ended() {
		return
	}
	if s.out.waits == nil {
		s.out.waits = map[task]time.Time{}
	}
	d += time.Duration(s.set.Source.Jitter(int64(d/2) + 1))
	s.out.waits[t] = s.now.Add(d)
	s.note("retry", "", "%s is tried again in %s", t.name(), d.Round(time.Millisecond))
}

// work sends what may be sent now.
func (s *SA) work() {
	for !s.ended() && len(s.out.requests) < max(1, s.out.size) {
		i := slices.IndexFunc(s.out.queue, s.startable)
		if i < 0 {
			break
		}
		t := s.out.queue[i]
		s.out.queue = slices.Delete(s.out.queue, i, i+1)
		delete(s.out.waits, t)
		s.ask(t)
	}
	s.retransmitTimer()
	s.stop(TimerRetry)
	if s.ended() {
		return
	}
	var first time.Time
	for _, due := range s.out.waits {
		if due.After(s.now) { // what waits for something else is looked at in every step
			first = earlier(first, due)
		}
	}
	s.timers[TimerRetry] = first
}

// startable says whether a task may start now.
func (s *SA) startable(t task) bool {
	if due, ok := s.out.waits[t]; ok && due.After(s.now) {
		return false
	}
	switch t.(type) {
	case *initTask, *authTask:
		return true
	case *deleteIKETask:
		return s.keys != nil // it does not wait for others: see ask
	case *rekeyIKETask:
		return s.state == engine.IKEEstablished && len(s.out.requests) == 0
	}
	// While the IKE SA is being replaced its children must not change: they may
	// be on their way to the new one.
	return s.state == engine.IKEEstablished
}

// asking says whether a request whose task fits is on its way.
func (s *SA) asking(fits func(task) bool) bool {
	return slices.ContainsFunc(s.out.requests, func(r *request) bool { return fits(r.task) })
}

// waiting says whether a task that fits is queued or on its way.
func (s *SA) waiting(fits func(task) bool) bool {
	return s.asking(fits) || slices.ContainsFunc(s.out.queue, fits)
}

// ask sends the next request of a task.
func (s *SA) ask(t task) {
	x, ps, ok := t.build(s)
	if !ok {
		return
	}
	id := s.out.next
	if x == wire.ExchangeIKESAInit {
		id = 0
	}
	octets, err := s.protect(x, id, false, ps)
	if err != nil {
		s.fail(&Failure{Text: err.Error(), Survived: true})
		t.abandon(s)
		return
	}
	if x == wire.ExchangeIKESAInit {
		s.initRequest = octets[0]
	}
	r := &request{id: id, task: t, wire: octets, first: s.now, next: s.now.Add(s.set.Retransmit.after(0))}
	if n := len(s.res.Events); s.set.Packets && n > 0 {
		r.told = s.res.Events[n-1].Packet // protect has just reported it
	}
	s.out.requests = append(s.out.requests, r)
	s.out.next = id + 1
	s.transmit(s.path, octets...)
}

// packetAgain reports a message again that was reported before; not at all
// where it was not.
func (s *SA) packetAgain(told *event.Packet, src, dst netip.AddrPort) {
	if told == nil {
		return
	}
	again := *told
	again.Src, again.SrcPort, again.Dst, again.DstPort = src.Addr(), src.Port(), dst.Addr(), dst.Port()
	s.emit(event.Event{Packet: &again})
}

// transmit sends messages on a path.
func (s *SA) transmit(p path, messages ...[]byte) {
	for _, m := range messages {
		octets := m
		if p.marked {
			octets = wire.AppendMarked(make([]byte, 0, len(m)+wire.NonESPMarkerLength), m)
		}
		s.res.Datagrams = append(s.res.Datagrams, Datagram{Local: p.local, Remote: p.remote, Marked: p.marked, Octets: octets})
	}
	s.sent = s.now
	s.keepaliveTimer()
}

// retransmitTimer sets the timer to the earliest repetition.
func (s *SA) retransmitTimer() {
	var first time.Time
	for _, r := range s.out.requests {
		first = earlier(first, r.next)
	}
	s.timers[TimerRetransmit] = first
}

// retransmit repeats, octet for octet, the requests whose time has come, and
// gives the peer up after the last (RFC 7296 2.1, 2.4).
func (s *SA) retransmit() {
	for _, r := range s.out.requests {
		if r.next.After(s.now) {
			continue
		}
		if r.tries >= s.set.Retransmit.Tries {
			why := fmt.Sprintf("no answer to request %d, %s, sent %s in %s", r.id, r.task.name(), times(r.tries+1),
				s.now.Sub(r.first).Round(time.Millisecond))
			s.check(event.Check{Kind: event.CheckLimit, RFC: "RFC 7296 2.4", What: "answer to " + r.task.name(),
				Local: fmt.Sprintf("within %s", s.now.Sub(r.first).Round(time.Millisecond)), Remote: "none"})
			s.note("give-up", "", "%s", why)
			s.lost(why)
			return
		}
		r.tries++
		r.next = s.now.Add(s.set.Retransmit.after(r.tries))
		s.note("retransmit", "", "request %d, %s, for the %s time of %d; the answer is waited for %s", r.id, r.task.name(), ordinal(r.tries),
			s.set.Retransmit.Tries, s.set.Retransmit.after(r.tries).Round(time.Millisecond))
		s.packetAgain(r.told, s.path.local, s.path.remote)
		s.transmit(s.path, r.wire...)
	}
	s.retransmitTimer()
}

func ordinal(n int) string {
	switch n {
	case 1:
		return "first"
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}

// response takes an authentic response; it says whether a request waited for
// it.
func (s *SA) response(m *message) bool {
	i := slices.IndexFunc(s.out.requests, func(r *request) bool { return r.id == m.id })
	if i < 0 {
		return false
	}
	r := s.out.requests[i]
	s.out.requests = slices.Delete(s.out.requests, i, i+1)
	m.rtt, m.repeated = s.now.Sub(r.first), r.tries > 0
	r.task.answer(s, m)
	return true
}

// abandon tells every task that no answer will come.
func (w *window) abandon(s *SA) {
	requests, queue := w.requests, w.queue
	w.requests, w.queue, w.waits = nil, nil, nil
	for _, r := range requests {
		r.task.abandon(s)
	}
	for _, t := range queue {
		t.abandon(s)
	}
}

// received is the side that answers.
type received struct {
	next    uint32 // the lowest message id that was not received yet
	answers []answer
	parts   *fragments
}

// answer is kept to be repeated (RFC 7296 2.1).
type answer struct {
	id     uint32
	digest [sha256.Size]byte // of the request, or of its first fragment
	wire   [][]byte
	// asked and told are the reports of the request and of the answer, nil where
	// none are wanted.
	asked, told *event.Packet
}

// answered gives the kept answer to a request.
func (in *received) answered(id uint32) *answer {
	for i := range in.answers {
		if in.answers[i].id == id {
			return &in.answers[i]
		}
	}
	return nil
}

// expects says whether a request is new and within the window of size n.
func (in *received) expects(id uint32, n int) bool {
	return id >= in.next && uint64(id) < uint64(in.next)+uint64(n) && in.answered(id) == nil
}

// keep remembers an answer and moves the window.
func (in *received) keep(a answer, n int) {
	in.answers = append(in.answers, a)
	for in.answered(in.next) != nil && in.next != ^uint32(0) {
		in.next++
	}
	in.answers = slices.DeleteFunc(in.answers, func(a answer) bool { return uint64(a.id)+uint64(n) < uint64(in.next) })
}

// repeat sends a kept answer again where octets are those of its request.
func (s *SA) repeat(id uint32, octets []byte, p path) bool {
	a := s.in.answered(id)
	if a == nil {
		return false
	}
	if sum := sha256.Sum256(octets); !bytes.Equal(sum[:], a.digest[:]) {
		return false
	}
	s.note("repeat", "", "request %d came again; so does its answer", id)
	s.packetAgain(a.asked, p.remote, p.local)
	s.packetAgain(a.told, p.local, p.remote)
	s.transmit(p, a.wire...)
	return true
}
