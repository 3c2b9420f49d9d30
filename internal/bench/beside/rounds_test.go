package beside

import (
	"context"
	"errors"
	"testing"
)

func TestOnlyWholeRoundsOfAnInterruptedRunCount(t *testing.T) {
	broken := errors.New("broken")
	for name, row := range map[string]struct {
		interrupted int // in which round, -1 for none
		fails       int
		done        int
		err         error
	}{
		"to the end":         {-1, -1, 6, nil},
		"interrupted late":   {4, -1, 4, nil},
		"interrupted early":  {1, -1, 1, context.Canceled},
		"failed by itself":   {-1, 5, 5, broken},
		"not even the first": {0, -1, 0, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done, err := Rounds(ctx, 6, func(n int) error {
				switch n {
				case row.interrupted:
					cancel()
					return ctx.Err()
				case row.fails:
					return broken
				}
				return nil
			})
			if done != row.done || !errors.Is(err, row.err) {
				t.Errorf("%d rounds count, %v", done, err)
			}
		})
	}
}

func TestARunThatWasInterruptedBetweenRoundsStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	done, err := Rounds(ctx, 9, func(int) error {
		if calls++; calls == Enough {
			cancel()
		}
		return nil
	})
	if done != Enough || calls != Enough || err != nil {
		t.Errorf("%d of %d rounds count, %v", done, calls, err)
	}
}
