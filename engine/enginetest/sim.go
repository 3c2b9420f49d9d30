package enginetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Life is a mixed life of one pair, drawn from a seed: rekeyings and deletions
// from both sides at once, lost, repeated and reordered messages, partitions,
// restarts, NATs that rebind.
type Life struct {
	Seed   uint64
	Faults []string // what was violated, none in a good life
	Ladder string
	Steps  map[string]int // what happened, by name
}

// maxIKESAs bounds how many IKE SAs one side may have at once in a life: the
// one that stands, what replaces it, what it replaced, and what lingers.
const maxIKESAs = 24

// Live runs the life of a seed and checks it: while it goes, timers and memory
// must be bounded; at its end, on a good network, both sides must agree on SAs
// and keys, no child may be without its twin, and after a deletion nothing may
// be left.
func Live(tb TB, seed uint64) *Life {
	l := &Life{Seed: seed, Steps: map[string]int{}}
	var nat *NAT
	p := newLifePair(tb, seed)
	rng := p.Rand()
	if rng.IntN(3) == 0 {
		nat = p.A.Behind(AddrA.Next().Next())
		p.B.conns[0].Remote = AddrA.Next().Next()
	}
	p.Link = Link{Loss: float64(rng.IntN(4)) * 0.1, Duplicate: float64(rng.IntN(3)) * 0.1,
		Delay: time.Duration(1+rng.IntN(100)) * time.Millisecond, Jitter: time.Duration(rng.IntN(400)) * time.Millisecond}
	fault := func(format string, args ...any) {
		if len(l.Faults) < 20 {
			l.Faults = append(l.Faults, fmt.Sprintf(format, args...))
		}
	}
	l.initiate(p, fault)
	for range 10 + rng.IntN(30) {
		l.act(p, nat, fault)
		p.Run(time.Duration(rng.IntN(4000)) * time.Millisecond)
		for _, h := range []*Host{p.A, p.B} {
			if n := len(h.Endpoint.SAs()); n > maxIKESAs {
				fault("%s holds %d IKE SAs at once", h.Name, n)
			}
			if d := h.Endpoint.Deadline(); !d.IsZero() && d.Before(p.Now()) {
				fault("%s has a timer in the past: %s", h.Name, p.Now().Sub(d))
			}
		}
	}
	l.rest(p, fault)
	for _, f := range p.Faults {
		fault("%s", f)
	}
	if p.Stuck {
		fault("the simulation does not come to rest")
	}
	l.Ladder = p.Ladder.String()
	return l
}

func newLifePair(tb TB, seed uint64) *Pair {
	p := &Pair{Net: New(seed), tb: tb}
	a, b := PSKConnections(tb)
	windows := p.Rand().IntN(3) == 0
	for i, c := range []*ike.Connection{a, b} {
		c.Unique = ike.UniqueReplace
		c.DPDDelay = 20 * time.Second
		more := *c.Children[0]
		more.Name = "more"
		more.LocalTS, more.RemoteTS = Selectors("10.3.0.0/16"), Selectors("10.4.0.0/16")
		if i == 1 {
			more.LocalTS, more.RemoteTS = more.RemoteTS, more.LocalTS
		}
		c.Children = append(c.Children, &more)
		for _, ch := range c.Children {
			ch.Lifetime = ike.Lifetime{Rekey: 5 * time.Minute, Jitter: time.Minute}
		}
		c.Lifetime = ike.Lifetime{Rekey: 11 * time.Minute, Jitter: 2 * time.Minute}
	}
	var set ike.Settings
	if windows {
		set.Window = 4
	}
	var err error
	if p.A, err = p.AddHost("a", AddrA, set, a); err != nil {
		tb.Fatalf("host a: %v", err)
	}
	if p.B, err = p.AddHost("b", AddrB, set, b); err != nil {
		tb.Fatalf("host b: %v", err)
	}
	return p
}

func (l *Life) initiate(p *Pair, fault func(string, ...any)) {
	if _, err := p.A.Initiate("gw"); err != nil {
		fault("initiate: %v", err)
	}
}

// act does one thing at random.
func (l *Life) act(p *Pair, nat *NAT, fault func(string, ...any)) {
	rng := p.Rand()
	h := p.A
	if rng.IntN(2) == 0 {
		h = p.B
	}
	var sa *ike.SA
	if list := h.Established(); len(list) > 0 {
		slices.SortFunc(list, func(a, b *ike.SA) int { // maps have no order, and a life has to replay
			if a.LocalSPI() < b.LocalSPI() {
				return -1
			}
			return 1
		})
		sa = list[rng.IntN(len(list))]
	}
	do := func(name string, c ike.Command) {
		if sa != nil && c != nil {
			l.Steps[name]++
			h.Command(sa, c)
		}
	}
	switch n := rng.IntN(100); {
	case n < 25:
		do("rekey child", pick(sa, rng.IntN(8), func(spi wire.ESPSPI) ike.Command { return ike.RekeyChild{SPI: spi} }))
	case n < 40:
		do("rekey IKE", ike.RekeyIKE{})
	case n < 50:
		do("delete child", pick(sa, rng.IntN(8), func(spi wire.ESPSPI) ike.Command { return ike.DeleteChild{SPI: spi} }))
	case n < 65:
		do("add child", ike.AddChild{Name: []string{"net", "more"}[rng.IntN(2)]})
	case n < 70:
		do("hard expiry", pick(sa, rng.IntN(8), func(spi wire.ESPSPI) ike.Command { return ike.Expired{SPI: spi, Hard: true} }))
	case n < 75:
		do("probe", ike.Probe{})
	case n < 79:
		do("delete IKE", ike.DeleteIKE{})
	case n < 90:
		if len(p.A.Endpoint.SAs()) == 0 {
			l.Steps["initiate"]++
			l.initiate(p, fault)
		}
	case n < 93:
		l.Steps["cut"]++
		p.Cut(true)
		p.Run(time.Duration(rng.IntN(60)) * time.Second)
		p.Cut(false)
	case n < 95:
		l.Steps["restart"]++
		if err := h.Restart(); err != nil {
			fault("restart: %v", err)
		}
	case nat != nil:
		l.Steps["rebind"]++
		nat.Rebind()
		do("probe", ike.Probe{})
	}
}

// pick makes a command about one of an SA's children.
func pick(sa *ike.SA, n int, f func(wire.ESPSPI) ike.Command) ike.Command {
	if sa == nil {
		return nil
	}
	children := sa.Model().Children
	if len(children) == 0 {
		return nil
	}
	spi, _ := children[n%len(children)].SPIIn.Get()
	return f(spi)
}

// rest brings the life to its end and judges it.
func (l *Life) rest(p *Pair, fault func(string, ...any)) {
	p.Link = Link{}
	p.Cut(false)
	// Long enough for every repetition, retry and liveness check.
	p.Run(8 * time.Minute)
	p.RunUntil(2*time.Minute, func() bool { return quiet(p) })
	for _, f := range Disagreements(p.A, p.B) {
		fault("at rest: %s", f)
	}
	for _, h := range []*Host{p.A, p.B} {
		for _, s := range h.Established() {
			h.Command(s, ike.DeleteIKE{})
		}
	}
	p.Run(15 * time.Minute)
	for _, h := range []*Host{p.A, p.B} {
		if n := len(h.Endpoint.SAs()); n > 0 {
			fault("%s keeps %d IKE SAs after the end: %s", h.Name, n, h.Endpoint.SAs()[0].Waiting())
		}
		if n := len(h.Plane.Children); n > 0 {
			fault("the data plane of %s keeps %d children after the end", h.Name, n)
		}
		if n := h.Endpoint.Held(); n != (ike.Holdings{}) {
			fault("the endpoint of %s keeps %+v after the end", h.Name, n)
		}
	}
}

// quiet says whether nothing is under way on either side.
func quiet(p *Pair) bool {
	if len(p.queue) > 0 {
		return false
	}
	for _, h := range []*Host{p.A, p.B} {
		for _, s := range h.Endpoint.SAs() {
			m := s.Model()
			if len(m.TasksActive)+len(m.TasksQueued) > 0 || m.State != "ESTABLISHED" {
				return false
			}
			for _, c := range m.Children {
				if c.State != "INSTALLED" {
					return false
				}
			}
		}
	}
	return true
}
