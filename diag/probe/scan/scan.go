// Package scan finds out what an IKE responder is and what it accepts, with
// nothing but its address: versions, transforms, NATs on the way, cookies,
// fragmentation, what it says of itself.
//
// Contract: it speaks to the one host that its Line leads to. Requests go one
// at a time, paced and bounded in number; whatever the host answers is checked
// before it is believed. What an earlier scan was told, as kept in its Result,
// is not asked again. It proves no identity, so it sees no ESP proposals and no
// credentials. An IKE SA that the host sets up half is closed again by an
// IKE_AUTH that must fail, under the identity "cvlanctl scan": the host's log
// names it.
package scan

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Line carries requests to the host and its answers back.
type Line interface {
	// Ends gives both ends of the path, of the NATT ports where marked.
	Ends(marked bool) (local, remote netip.AddrPort)
	// Ask sends a request, repeats it where nothing comes, and gives the first
	// datagram that fits, with the time from its last sending. Nothing came
	// where the answer is nil; refused says that the host's ICMP refused the
	// port. The marker of the NATT ports is the line's.
	Ask(ctx context.Context, marked bool, request []byte, fits func([]byte) bool) (answer []byte, rtt time.Duration, refused bool, err error)
}

// Options bound a scan.
type Options struct {
	Max int // requests in all, 0 for DefaultMax
	// Pace is the least time between two requests; 0 means 100 ms.
	Pace time.Duration
	// Before is the result of an earlier scan to go on from.
	Before *Result
	// Progress is told each question as it is answered; it may be nil.
	Progress func(Question)
	// Wait waits between requests; nil for a timer.
	Wait func(context.Context, time.Duration) error
}

// What bounds a scan where nobody says otherwise. A host that accepts the usual
// is asked 30 to 80 times.
const (
	DefaultMax  = 400
	DefaultPace = 100 * time.Millisecond
)

// ErrBound says that a scan ended before it had asked everything.
var ErrBound = errors.New("the bound on requests was reached")

// ErrQuiet says that a host that had answered does not any more. It then says
// nothing of what it accepts.
var ErrQuiet = errors.New("the host stopped answering: it may bound how many IKE SAs one address has half open, or bar who scans")

// Run scans. The Result is never nil and holds what was found, also beside an
// error: ErrBound, ErrQuiet, or that of the context or the line.
func Run(ctx context.Context, line Line, o Options) (*Result, error) {
	s := newScanner(ctx, line, o)
	err := s.run()
	s.result.Complete = err == nil
	if err != nil {
		s.result.Incomplete = err.Error()
	}
	return s.result, err
}

func newScanner(ctx context.Context, line Line, o Options) *scanner {
	if o.Max <= 0 {
		o.Max = DefaultMax
	}
	if o.Pace <= 0 {
		o.Pace = DefaultPace
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	_, remote := line.Ends(false)
	_, natt := line.Ends(true)
	s := &scanner{ctx: ctx, line: line, o: o, known: map[string]Question{}, deaf: map[uint16]bool{},
		result: &Result{Host: remote.Addr(), Port: remote.Port(), NATTPort: natt.Port(), MaxRequests: o.Max}}
	if o.Before != nil {
		for _, q := range o.Before.Questions {
			s.known[q.key()] = q
			s.recall(&q)
		}
	}
	return s
}

// recall notes of an earlier question whether the host went on.
func (s *scanner) recall(q *Question) {
	ts, err := wire.ParseProposal(wire.ProtocolIKE, q.Suite)
	if q.Closed == nil || err != nil {
		return
	}
	for i := range ts {
		if ts[i].Type == wire.TransformPRF {
			s.deaf[ts[i].ID] = !*q.Closed
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

type scanner struct {
	ctx    context.Context
	line   Line
	o      Options
	known  map[string]Question
	result *Result
	asked  int
	deaf   map[uint16]bool // PRFs with which the host left an IKE_AUTH unanswered
	cookie []byte          // of the last demand; it goes with every request from then on
}

// run asks everything, in an order in which each answer helps the next.
func (s *scanner) run() error {
	all := everything()
	first, err := s.propose("first contact", all)
	if err != nil {
		return err
	}
	if err := s.contact(first); err != nil {
		return err
	}
	if err := s.versions(); err != nil {
		return err
	}
	if s.result.IKEv2 != Answers {
		return nil
	}
	if err := s.critical(); err != nil {
		return err
	}
	if err := s.walk(all); err != nil {
		return err
	}
	if err := s.confirm(); err != nil {
		return err
	}
	s.result.doubt()
	return nil
}

// contact notes how the host takes IKEv2 on both ports.
func (s *scanner) contact(first Question) error {
	s.result.IKEv2 = verdict(first)
	s.result.learn(&first)
	all := everything()
	ps := all.proposals()
	natt, err := s.ask(Question{Name: "port 4500", Marked: true, Offer: text(ps)}, func(q *Question) error { return s.init(q, ps, 0) })
	if err != nil {
		return err
	}
	s.result.Port4500 = verdict(natt)
	if s.result.IKEv2 == Silent && s.result.Port4500 == Answers {
		// Everything else is asked where somebody answers.
		s.result.OnlyNATT = true
		s.result.IKEv2 = Answers
		s.result.learn(&natt)
	}
	return nil
}

// versions asks about IKE of major version 3, which nobody speaks, and of
// version 1.
func (s *scanner) versions() error {
	q, err := s.ask(Question{Name: "major version 3"}, s.future)
	if err != nil {
		return err
	}
	s.result.MajorVersion3 = q.Outcome
	if q, err = s.ask(Question{Name: "IKEv1 main mode"}, s.mainMode); err != nil {
		return err
	}
	s.result.IKEv1 = verdict(q)
	if s.result.IKEv1 != Answers {
		return nil
	}
	if q, err = s.ask(Question{Name: "IKEv1 aggressive mode"}, s.aggressive); err != nil {
		return err
	}
	s.result.Aggressive = verdict(q)
	return nil
}

// critical asks what the host does with a critical payload that nobody knows.
func (s *scanner) critical() error {
	q, err := s.ask(Question{Name: "unknown critical payload"}, s.unknownPayload)
	s.result.Critical = q.Outcome
	return err
}

// ask gets a question answered, unless an earlier scan was told already.
func (s *scanner) ask(q Question, do func(*Question) error) (Question, error) {
	if before, ok := s.known[q.key()]; ok {
		s.result.Questions = append(s.result.Questions, before)
		return before, nil
	}
	if err := do(&q); err != nil {
		return q, err
	}
	s.known[q.key()] = q
	s.result.Questions = append(s.result.Questions, q)
	if s.o.Progress != nil {
		s.o.Progress(q)
	}
	return q, nil
}

// exchange sends one request and gives the message that answers it, nil for
// silence.
func (s *scanner) exchange(q *Question, request []byte, fits func(*wire.Message) bool) (*wire.Message, []byte, error) {
	if s.asked >= s.o.Max {
		return nil, nil, ErrBound
	}
	if s.asked > 0 {
		if err := s.o.Wait(s.ctx, s.o.Pace); err != nil {
			return nil, nil, err
		}
	}
	s.asked++
	s.result.Requests++
	answer, rtt, refused, err := s.line.Ask(s.ctx, q.Marked || s.result.OnlyNATT, request, func(b []byte) bool {
		m, err := wire.Parse(b)
		return m != nil && err == nil && fits(m)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", q.Name, err)
	}
	switch {
	case refused:
		q.Outcome = OutcomeRefused
		return nil, nil, nil
	case answer == nil:
		q.Outcome = OutcomeSilence
		return nil, nil, nil
	}
	q.RTT = rtt
	if s.result.RTT == 0 || rtt < s.result.RTT {
		s.result.RTT = rtt
	}
	m, _ := wire.Parse(answer) // as it did a moment ago
	return m, answer, nil
}

// randomSPI gives an SPI that is not zero.
func randomSPI() wire.SPI {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	b[0] |= 1
	return wire.SPI(binary.BigEndian.Uint64(b[:]))
}

func randomOctets(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand never fails
	return b
}
