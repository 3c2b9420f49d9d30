package beside

import (
	"context"
	"fmt"
)

// Enough is how many rounds an interrupted measurement needs for its medians to
// be told.
const Enough = 3

// Rounds calls round n times, with 0 to n-1, and gives how many went well. Where
// the context ends, or a round fails for that reason, the rounds before it count
// if they are enough; else, and where a round fails by itself, that is the error.
func Rounds(ctx context.Context, n int, round func(n int) error) (done int, err error) {
	for done < n {
		if err = ctx.Err(); err == nil {
			err = round(done)
		}
		switch {
		case err == nil:
			done++
		case ctx.Err() != nil && done >= Enough:
			fmt.Printf("interrupted: %d of %d rounds are whole, and count\n", done, n)
			return done, nil
		default:
			return done, err
		}
	}
	return done, nil
}
