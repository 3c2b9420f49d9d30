package link

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// xfrmSelector is what a policy of the kernel is for: networks, where traffic
// selectors have ranges, and a protocol with its ports.
type xfrmSelector struct {
	src, dst         netip.Prefix
	protocol         uint8    // 0 for any
	srcPort, dstPort xfrmPort // type and code of ICMP
}

// xfrmPort is the ports that agree with value where mask has ones.
type xfrmPort struct{ value, mask uint16 }

// xfrmDirection is what packets a policy is about, in the kernel's numbers.
type xfrmDirection uint8

const (
	xfrmIn      xfrmDirection = iota // for this host
	xfrmOut                          // sent, by this host or through it
	xfrmForward                      // to be forwarded
)

func (d xfrmDirection) String() string { return [...]string{"in", "out", "forward"}[d] }

// xfrmKey is what tells policies apart.
type xfrmKey struct {
	direction xfrmDirection
	selector  xfrmSelector
}

func (k xfrmKey) String() string {
	return fmt.Sprintf("policy %s for %s to %s", k.direction, k.selector.src, k.selector.dst)
}

// xfrmPolicy is what is done with the packets of a policy: they must have come
// through, or go through, an SA like this.
type xfrmPolicy struct {
	src, dst  netip.Addr
	reqid     uint32
	spi       wire.ESPSPI // 0 for any
	transport bool
	trap      bool // it waits for traffic
}

// maxSelectors bounds the policies of a child in each direction: ranges that
// are no subnets take several.
const maxSelectors = 256

// xfrmSelectors gives the selectors of all traffic from one list of traffic
// selectors to another (RFC 4301 4.4.1.2).
func xfrmSelectors(src, dst []wire.TrafficSelector) ([]xfrmSelector, error) {
	var all []xfrmSelector
	seen := map[xfrmSelector]bool{}
	for i := range src {
		for j := range dst {
			list, err := xfrmPairs(&src[i], &dst[j])
			if err != nil {
				return nil, err
			}
			for _, s := range list {
				if !seen[s] {
					seen[s] = true
					all = append(all, s)
				}
			}
			if len(all) > maxSelectors {
				return nil, fmt.Errorf("the traffic selectors take more than %d policies of the kernel: ranges that are no subnets take many", maxSelectors)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the traffic selectors have no traffic in common: no pair is of one IP version and one protocol")
	}
	return all, nil
}

// xfrmPairs gives the selectors of one pair.
func xfrmPairs(src, dst *wire.TrafficSelector) ([]xfrmSelector, error) {
	protocol := src.Protocol
	switch {
	case src.Start.Is4() != dst.Start.Is4(), src.Protocol != 0 && dst.Protocol != 0 && src.Protocol != dst.Protocol:
		return nil, nil
	case protocol == 0:
		protocol = dst.Protocol
	}
	srcPorts, dstPorts, err := xfrmPortsOf(protocol, src, dst)
	if err != nil {
		return nil, err
	}
	var all []xfrmSelector
	for _, from := range networks(src.Start, src.End, maxSelectors) {
		for _, to := range networks(dst.Start, dst.End, maxSelectors) {
			for _, fromPort := range srcPorts {
				for _, toPort := range dstPorts {
					all = append(all, xfrmSelector{from, to, protocol, fromPort, toPort})
				}
			}
			if len(all) > maxSelectors {
				return all, nil // too many; that is told of all together
			}
		}
	}
	return all, nil
}

// The protocols of which selectors have no ports, but type and code.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// xfrmPortsOf gives the ports of a pair of traffic selectors.
func xfrmPortsOf(protocol uint8, src, dst *wire.TrafficSelector) (from, to []xfrmPort, err error) {
	for _, s := range []*wire.TrafficSelector{src, dst} {
		if s.StartPort > s.EndPort {
			return nil, nil, fmt.Errorf("a traffic selector is for OPAQUE ports (RFC 7296 3.13.1), which policies of the kernel do not have")
		}
	}
	if protocol != protocolICMP && protocol != protocolICMPv6 {
		return portBlocks(src.StartPort, src.EndPort), portBlocks(dst.StartPort, dst.EndPort), nil
	}
	kind, code, err := icmpOf(src)
	if err == nil && kind.mask == 0 {
		kind, code, err = icmpOf(dst)
	}
	return []xfrmPort{kind}, []xfrmPort{code}, err
}

// icmpOf gives the type and the code that a traffic selector has in the place
// of ports (RFC 7296 3.13.1).
func icmpOf(s *wire.TrafficSelector) (kind, code xfrmPort, err error) {
	first, last := s.StartPort, s.EndPort
	switch {
	case first == 0 && last == 65535:
		return xfrmPort{}, xfrmPort{}, nil
	case first>>8 != last>>8:
	case first&0xff == 0 && last&0xff == 0xff:
		return xfrmPort{first >> 8, 0xffff}, xfrmPort{}, nil
	case first == last:
		return xfrmPort{first >> 8, 0xffff}, xfrmPort{first & 0xff, 0xffff}, nil
	}
	return kind, code, fmt.Errorf("a traffic selector is for several types or codes of ICMP; policies of the kernel are for one, or for all")
}

// portBlocks gives the blocks that make a range of ports up.
func portBlocks(first, last uint16) []xfrmPort {
	if first == 0 && last == 65535 {
		return []xfrmPort{{}}
	}
	var all []xfrmPort
	for at := uint32(first); at <= uint32(last); {
		size := uint32(1)
		for at%(size*2) == 0 && at+size*2-1 <= uint32(last) {
			size *= 2
		}
		all = append(all, xfrmPort{uint16(at), uint16(0x10000 - size)})
		at += size
	}
	return all
}

// The priorities of policies: the lower number wins.
const (
	priorityChild = 1 << 18
	priorityTrap  = 1 << 19 // so that what is up wins
)

// priority puts a policy before all that are for more than it is.
func (k xfrmKey) priority(p *xfrmPolicy) uint32 {
	base := uint32(priorityChild)
	if p.trap {
		base = priorityTrap
	}
	s := k.selector
	narrow := uint32(s.src.Bits()+s.dst.Bits()) * 128
	if s.protocol != 0 {
		narrow += 64
	}
	for _, port := range []xfrmPort{s.srcPort, s.dstPort} {
		for m := port.mask; m != 0; m <<= 1 {
			narrow++
		}
	}
	return base - narrow
}

// networks gives the networks that make a range of addresses up, at most so
// many.
func networks(first, last netip.Addr, most int) []netip.Prefix {
	var all []netip.Prefix
	for at := first; at.IsValid() && !last.Less(at) && len(all) < most; {
		bits := at.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(at, bits-1)
			if wider.Masked().Addr() != at || last.Less(lastOf(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(at, bits)
		all = append(all, p)
		at = lastOf(p).Next()
	}
	return all
}

// lastOf gives the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
