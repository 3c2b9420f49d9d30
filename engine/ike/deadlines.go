package ike

import "time"

// deadlines is a heap of SAs, the next due first.
type deadlines []*member

func (d deadlines) Len() int { return len(d) }
func (d deadlines) Less(i, j int) bool {
	if !d[i].due.Equal(d[j].due) {
		return d[i].due.Before(d[j].due)
	}
	return d[i].sa.LocalSPI() < d[j].sa.LocalSPI()
}
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// Push adds a member; heap.Push calls it.
func (d *deadlines) Push(x any) {
	m := x.(*member)
	m.index = len(*d)
	*d = append(*d, m)
}

// Pop takes the last member; heap.Pop calls it.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	m := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	m.index = -1
	return m
}

// allowance lets ten through in a second: what strangers can provoke must not
// become a flood.
type allowance struct {
	second time.Time
	used   int
}

func (a *allowance) take(now time.Time) bool {
	if now.Sub(a.second) >= time.Second {
		a.second, a.used = now, 0
	}
	a.used++
	return a.used <= 10
}
