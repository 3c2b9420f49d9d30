package vici

import (
	"context"
	"testing"
	"time"
)

// late is a context whose deadline has passed and that does not know it yet.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestAContextIsOverWhenItsTimeHasComeThoughItDoesNotSaySo(t *testing.T) {
	limited, cancel := context.WithTimeout(t.Context(), time.Hour)
	if over(t.Context()) || over(limited) {
		t.Error("one that has time left is over")
	}
	if !over(late{t.Context()}) {
		t.Error("one whose time has come is not over")
	}
	if cancel(); !over(limited) {
		t.Error("one that was cancelled is not over")
	}
}
