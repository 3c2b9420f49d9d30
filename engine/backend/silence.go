package backend

import "time"

// Patience is how old a daemon's list of SAs may be, which comes every second,
// to be of now. Beyond it the daemon is there and does not answer.
const Patience = 3 * time.Second

// Silent is for how long a daemon that is there has owed its list, whose last
// one came at a time; 0 where it does not owe it, or never gave one.
func Silent(listed, now time.Time) time.Duration {
	if old := now.Sub(listed); !listed.IsZero() && old > Patience {
		return old
	}
	return 0
}

// NoAnswer says in words that a daemon does not answer.
func NoAnswer(silent time.Duration) string {
	return "NO ANSWER for " + silent.Truncate(time.Second).String()
}
