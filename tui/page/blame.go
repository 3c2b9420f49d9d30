package page

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// blame finds the findings about an SA. Findings come ranked, so the first
// about a thing is the worst.
type blame struct {
	findings []diag.Finding
	byIKE    map[string][]int
	byChild  map[string][]int
	byHosts  map[[2]string][]int
	byConn   map[string][]int // that are about a connection and no SA of it
	byName   map[string][]int // all that name a connection
	nameless map[string][]int // those that name none, by the addresses of both sides
}

func newBlame(findings []diag.Finding) blame {
	b := blame{
		findings: findings, byIKE: map[string][]int{}, byChild: map[string][]int{},
		byHosts: map[[2]string][]int{}, byConn: map[string][]int{}, byName: map[string][]int{}, nameless: map[string][]int{},
	}
	for i := range findings {
		s := findings[i].Subject
		if s.Local != "" || s.Remote != "" {
			k := hosts(s.Local, s.Remote)
			b.byHosts[k] = append(b.byHosts[k], i)
		}
		if s.Connection != "" {
			b.byName[s.Connection] = append(b.byName[s.Connection], i)
		} else {
			b.nameless[s.Local] = append(b.nameless[s.Local], i)
			b.nameless[s.Remote] = append(b.nameless[s.Remote], i)
		}
		switch {
		case s.ChildSPI != "":
			b.byChild[s.ChildSPI] = append(b.byChild[s.ChildSPI], i)
		case s.SPIi != "" && s.SPIi != diag.NoSPI:
			b.byIKE[s.SPIi] = append(b.byIKE[s.SPIi], i)
		case s.Connection != "":
			b.byConn[s.Connection] = append(b.byConn[s.Connection], i)
		}
	}
	return b
}

func hosts(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}

// ofIKE gives the findings about an IKE SA itself.
func (b *blame) ofIKE(sa *trace.IKESA) []int {
	if len(b.findings) == 0 {
		return nil
	}
	if sa.InitiatorSPI == 0 && sa.Name != "" {
		return b.byConn[sa.Name]
	}
	return b.byIKE[sa.InitiatorSPI.String()]
}

// ofTunnel gives the findings about a configured connection. One that has no SA is
// down for what ended its last one, or for what went wrong with its peers before
// any side said which connection it is about.
func (b *blame) ofTunnel(g *tunnelGroup) []int {
	if len(g.sas) > 0 {
		return b.byConn[g.key.name]
	}
	found := slices.Clone(b.byName[g.key.name])
	if c := g.tunnel.Connection; c != nil {
		for _, far := range c.RemoteAddrs {
			found = append(found, b.nameless[far]...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// ofPair gives the findings about a connection or a pair of hosts.
func (b *blame) ofPair(sa *trace.IKESA) []int {
	if len(b.findings) == 0 {
		return nil
	}
	if found := b.byConn[sa.Name]; sa.Name != "" && len(found) > 0 {
		return found
	}
	return b.byHosts[hosts(host(sa.Local.Host), host(sa.Remote.Host))]
}

// ofChild gives the findings about a child SA.
func (b *blame) ofChild(c *engine.ChildSA) []int {
	if len(b.findings) == 0 {
		return nil
	}
	for _, o := range []engine.Opt[espSPI]{c.SPIIn, c.SPIOut} {
		if spi, ok := o.Get(); ok {
			if found := b.byChild[spi.String()]; len(found) > 0 {
				return found
			}
		}
	}
	return nil
}

// ofFlow gives the findings about an ESP flow.
func (b *blame) ofFlow(f *trace.Flow) []int {
	if len(b.findings) == 0 {
		return nil
	}
	return b.byChild[f.SPI.String()]
}

// worst gives the finding ranked highest, -1 where there is none.
func worst(lists ...[]int) int {
	best := -1
	for _, l := range lists {
		for _, i := range l {
			if best < 0 || i < best {
				best = i
			}
		}
	}
	return best
}
