package link

import (
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/ike"
)

func TestAnOrderForAChildThatIsNotAsItShouldBeIsRefused(t *testing.T) {
	pair := ike.SPIPair{In: 1, Out: 2}
	for _, known := range []bool{false, true} {
		s := children[string]{stand: map[ike.SPIPair]string{}}
		if known {
			s.stand[pair] = "net"
		}
		for _, kind := range []ike.UpdateKind{ike.Install, ike.Switch, ike.Move, ike.Remove} {
			var done []string
			note := func(what, child string) error { done = append(done, what+" "+child); return nil }
			err := s.update(&ike.Update{Kind: kind, Name: "net", SPIs: pair}, orders[string]{
				install: func(u *ike.Update) error { return note("install", u.Name) },
				send:    func(c string) error { return note("switch", c) },
				move:    func(c string, _ *ike.Update) error { return note("move", c) },
				remove:  func(c string) error { return note("remove", c) },
			})
			if known == (kind == ike.Install) {
				if err == nil || len(done) > 0 {
					t.Errorf("%s, known %t: did %v", kind, known, done)
				}
				continue
			}
			if got := strings.Join(done, ", "); err != nil || got != kind.String()+" net" {
				t.Errorf("%s, known %t: did %q, %v", kind, known, got, err)
			}
		}
	}
}

func TestAChildThatWasReplacedIsKeptAWhileAndNotTooManyAre(t *testing.T) {
	var s children[int]
	for n := range maxLate {
		if gone, ok := s.keep(n, 100+int64(n)); ok {
			t.Fatalf("%d has to go for %d already", gone, n)
		}
	}
	if gone, ok := s.keep(maxLate, 100+maxLate); !ok || gone != 0 {
		t.Errorf("%d has to go (%t), want the first", gone, ok)
	}
	if over := s.forget(101 + lateFor); len(over) != 0 {
		t.Errorf("%v are over within their time", over)
	}
	if over := s.forget(103 + lateFor); len(over) != 2 || over[0] != 1 || over[1] != 2 {
		t.Errorf("%v are over, want 1 and 2", over)
	}
	if over := s.forget(1000); len(over) != maxLate-2 {
		t.Errorf("%d are over in the end", len(over))
	}
}
