package netstack

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// route is a tunnel: from which of the stack's addresses its networks are
// reached.
type route struct {
	local, remote []wire.TrafficSelector
	from          []netip.Addr // one of each selector of local
}

// Route lets the stack reach the networks of a tunnel, from an address within
// the tunnel's local selectors.
func (s *Stack) Route(local, remote []wire.TrafficSelector, _ netip.Addr) error {
	r := route{local: slices.Clone(local), remote: slices.Clone(remote)}
	own := s.addresses()
	for i := range local {
		a, err := inside(&local[i], own)
		if err != nil {
			return err
		}
		if err := s.Add(a); err != nil {
			return err
		}
		r.from = append(r.from, a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes = append(s.routes, r)
	return nil
}

// inside gives an address within a selector: one of own where there is one.
func inside(ts *wire.TrafficSelector, own []netip.Addr) (netip.Addr, error) {
	for _, a := range own {
		if contains(ts, a) {
			return a, nil
		}
	}
	start := ts.Start.Unmap()
	switch {
	case !start.IsValid():
		return netip.Addr{}, fmt.Errorf("selector %s has no addresses", ts)
	case start == ts.End.Unmap():
		return start, nil
	case start.IsUnspecified():
		return netip.Addr{}, fmt.Errorf("selector %s takes any address: it must be said which one this end has", ts)
	}
	// The first address of a subnet is the subnet's.
	return start.Next(), nil
}

func contains(ts *wire.TrafficSelector, a netip.Addr) bool {
	start, end := ts.Start.Unmap(), ts.End.Unmap()
	return start.IsValid() && start.BitLen() == a.BitLen() && !a.Less(start) && !end.Less(a)
}

// Unroute undoes one Route. The addresses stay: what is open goes on when the
// tunnel is back.
func (s *Stack) Unroute(local, remote []wire.TrafficSelector) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.routes {
		if same(s.routes[i].local, local) && same(s.routes[i].remote, remote) {
			s.routes = slices.Delete(s.routes, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("no tunnel with these selectors")
}

func same(a, b []wire.TrafficSelector) bool {
	return slices.EqualFunc(a, b, func(x, y wire.TrafficSelector) bool {
		return x.Type == y.Type && x.Protocol == y.Protocol && x.StartPort == y.StartPort && x.EndPort == y.EndPort && x.Start == y.Start && x.End == y.End
	})
}

// source gives the address from which the stack reaches another: the one within
// the selectors of the tunnel that leads there. It is not valid where no tunnel
// does; the stack then takes the first one of its kind.
func (s *Stack) source(to netip.Addr) netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.routes {
		for j := range s.routes[i].remote {
			if !contains(&s.routes[i].remote[j], to) {
				continue
			}
			for _, a := range s.routes[i].from {
				if a.BitLen() == to.BitLen() {
					return a
				}
			}
		}
	}
	return netip.Addr{}
}
