package link

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// children is what the data planes have in common: which CHILD SAs stand, and
// which were replaced and have ended, whose last packets may still come. It is
// for one caller at a time.
type children[C comparable] struct {
	stand map[ike.SPIPair]C
	late  []lateChild[C]
}

// lateChild is one that is kept up to a second, that included.
type lateChild[C any] struct {
	child C
	until int64
}

// lateFor is how long packets of an SA are taken that a rekeying has replaced,
// in seconds: those under way when it ended.
const lateFor = 5

// maxLate is how many such SAs are kept; a peer can rekey as often as it likes.
const maxLate = 256

// orders are what becomes of a CHILD SA. What they return is told of the order.
type orders[C any] struct {
	install func(*ike.Update) error
	send    func(C) error // with it from now on, instead of what it replaces
	move    func(C, *ike.Update) error
	remove  func(C) error
}

// update has the orders follow what the engine wants of one CHILD SA.
func (s *children[C]) update(u *ike.Update, o orders[C]) error {
	c, known := s.stand[u.SPIs]
	if known == (u.Kind == ike.Install) {
		return fmt.Errorf("%s of child SA %s, %s in, %s out: it is not as it should be", u.Kind, u.Name, u.SPIs.In, u.SPIs.Out)
	}
	switch u.Kind {
	case ike.Install:
		return o.install(u)
	case ike.Switch:
		return o.send(c)
	case ike.Move:
		return o.move(c, u)
	case ike.Remove:
		return o.remove(c)
	}
	return nil
}

// keep keeps one that was replaced for what is under way, from now on. It gives
// the one that has to go for it where there are too many.
func (s *children[C]) keep(c C, now int64) (gone C, ok bool) {
	s.late = append(s.late, lateChild[C]{c, now + lateFor})
	if len(s.late) <= maxLate {
		return gone, false
	}
	gone, s.late = s.late[0].child, s.late[1:]
	return gone, true
}

// forget gives those whose last packets have had their time, and keeps them no
// longer.
func (s *children[C]) forget(now int64) (over []C) {
	n := 0 // the first came first
	for ; n < len(s.late) && now > s.late[n].until; n++ {
		over = append(over, s.late[n].child)
	}
	s.late = s.late[n:]
	return over
}
