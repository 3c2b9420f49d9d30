package policy

import (
	"fmt"
	"slices"
	"time"
)

// checkLimits wants hard limits beyond soft ones and jitter within them.
// shortest is the soft limit that jitter must not swallow.
func checkLimits[T ~int64 | ~uint64](r *report, s setting, n *node, l Limits[T], shortest T, say func(T) string) {
	switch {
	case l.Hard > 0 && l.Rekey >= l.Hard:
		at, path := s.where(n, "rekey", "reauth", "hard")
		r.at(at, Error, "lifetime-order", path, "the new SA comes after %s, later than the end of the old one after %s", say(l.Rekey), say(l.Hard))
	case l.Jitter > 0 && l.Jitter >= shortest:
		at, path := s.where(n, "jitter", "rekey", "hard")
		r.at(at, Error, "lifetime-order", path, "jitter of %s leaves nothing of the %s until the new SA", say(l.Jitter), say(shortest))
	}
}

// checkDPD looks at the timing of probes.
func (b *builder) checkDPD(c *Connection, s setting, n *node) {
	warn := func(severity Severity, key, format string, args ...any) {
		at, path := s.where(n, key)
		b.report.at(at, severity, "dpd-timing", path, format, args...)
	}
	d := &c.DPD
	switch {
	case d.Interval == 0 && d.Action != "clear":
		warn(Warning, "action", "action %s never comes: interval 0s asks no peer", d.Action)
	case d.Interval == 0:
	case d.Timeout == 0:
		warn(Error, "timeout", "timeout 0s waits for no answer")
	case d.Timeout > d.Interval:
		warn(Warning, "timeout", "timeout %s is longer than interval %s: a dead peer is noticed late", formatDuration(d.Timeout), formatDuration(d.Interval))
	case d.Interval < 5*time.Second:
		warn(Warning, "interval", "interval %s asks idle peers very often", formatDuration(d.Interval))
	}
	if d.Interval > 0 {
		if total := d.Timeout * time.Duration(d.Retries+1); c.Hard > 0 && d.Interval+total > c.Hard {
			warn(Warning, "interval", "a dead peer is noticed after %s, later than the IKE SA ends anyway", formatDuration(d.Interval+total))
		}
	}
}

// checkSelectors looks at the two sides of one tunnel.
func (b *builder) checkSelectors(c *Child, n *node, at string) {
	for i, l := range c.Local {
		for j, r := range c.Remote {
			if l.overlaps(r) && !everything(l) && !everything(r) {
				b.report.at(item(n, "remote", j), Warning, "overlapping-selectors", fmt.Sprintf("%s.remote[%d]", at, j), "%s lies on both sides: local has %s", r, l)
			}
			if i == 0 && !l.Dynamic && !r.Dynamic && !slices.ContainsFunc(c.Local, func(s Selector) bool {
				return s.Dynamic || s.Range.From.BitLen() == r.Range.From.BitLen()
			}) {
				b.report.at(item(n, "remote", j), Error, "mixed-families", fmt.Sprintf("%s.remote[%d]", at, j), "%s has nothing of its family on the local side", r)
			}
		}
	}
	if !c.Transport {
		return
	}
	for key, side := range map[string][]Selector{"local": c.Local, "remote": c.Remote} {
		for i, s := range side {
			if !s.Dynamic && s.Range.From != s.Range.To {
				b.report.at(item(n, key, i), Error, "transport-selector", fmt.Sprintf("%s.%s[%d]", at, key, i), "transport mode carries packets of the two hosts only, not of %s", s)
			}
		}
	}
}

// item gives the i-th item of a list at a key.
func item(n *node, key string, i int) *node {
	if v := n.get(key); v != nil && i < len(v.items) {
		return v.items[i]
	}
	return n
}

// everything says whether a selector is a default route's.
func everything(s Selector) bool {
	p, ok := s.Range.Prefix()
	return ok && p.Bits() == 0
}

// maxCompared bounds the pairs of tunnels that are compared: the check is a
// courtesy, and a file may have very many.
const maxCompared = 2_000_000

// overlaps looks at every two tunnels: a packet that both would carry.
func (b *builder) overlaps() {
	type place struct {
		childAt
		peer string
	}
	var all []place
	for _, e := range b.entries("peers") {
		for _, c := range b.children[e.key] {
			all = append(all, place{c, e.key})
		}
	}
	slices.SortStableFunc(all, func(x, y place) int { return x.entry.line - y.entry.line })
	left := maxCompared
	for j := range all {
		for i := range j {
			if left--; left < 0 {
				return
			}
			x, y := &all[i], &all[j]
			l, r, same := common(x.child, y.child)
			if l == nil {
				continue
			}
			if same && x.peer == y.peer {
				b.report.at(y.entry.at(), Error, "overlapping-selectors", y.path, "has the selectors of tunnel %s (line %d)", x.child.Name, x.entry.line)
			} else {
				b.report.at(y.entry.at(), Warning, "overlapping-selectors", y.path, "%s to %s is carried by tunnel %s (line %d) too", l, r, x.child.Name, x.entry.line)
			}
			break
		}
	}
}

// common gives selectors of y that overlap x's on both sides, and whether all
// are the same.
func common(x, y Child) (local, remote *Selector, same bool) {
	meet := func(a, b []Selector) *Selector {
		for i := range b {
			for _, s := range a {
				if s.overlaps(b[i]) {
					return &b[i]
				}
			}
		}
		return nil
	}
	local, remote = meet(x.Local, y.Local), meet(x.Remote, y.Remote)
	if local == nil || remote == nil {
		return nil, nil, false
	}
	return local, remote, slices.Equal(x.Local, y.Local) && slices.Equal(x.Remote, y.Remote)
}
