package filter

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// keys are the terms written key=value, with what a value is.
var keys = map[string]struct {
	value string
	make  func(value string) predicate // nil for a value not understood
}{
	"peer":     {"an address or prefix", addresses(either)},
	"src":      {"an address or prefix", addresses(source)},
	"dst":      {"an address or prefix", addresses(destination)},
	"port":     {"a port or a range such as 500-4500", ports(either)},
	"sport":    {"a port or a range such as 500-4500", ports(source)},
	"dport":    {"a port or a range such as 500-4500", ports(destination)},
	"spi":      {"8 hex digits (ESP, AH) or 16 (IKE)", spi},
	"proto":    {"one of ike, ikev1, ikev2, esp, ah, natt-keepalive, icmp", proto},
	"encap":    {"one of udp, udp-natt, tcp, ip", encap},
	"exchange": {"the name or number of an exchange such as IKE_AUTH", exchange},
	"mid":      {"a message id or a range such as 0-3", messageID},
	"frame":    {"a number or a range such as 10-20", frame},
}

// term reads one term and the token behind it.
func (p *parser) term() predicate {
	if key, value, ok := strings.Cut(p.word, "="); ok {
		return p.keyed(strings.ToLower(key), value)
	}
	return p.bpf()
}

func (p *parser) keyed(key, value string) predicate {
	k, ok := keys[key]
	if !ok {
		p.fail("there is no key %q; the keys are peer, src, dst, port, sport, dport, spi, proto, encap, exchange, mid, frame", key)
		return nothing
	}
	var m predicate
	for one := range strings.SplitSeq(value, ",") {
		alternative := k.make(one)
		if alternative == nil {
			p.fail("%s needs %s, got %q", key, k.value, one)
			return nothing
		}
		if left := m; left == nil {
			m = alternative
		} else {
			m = func(x *facts) bool { return left(x) || alternative(x) }
		}
	}
	p.next()
	return m
}

func nothing(*facts) bool { return false }

// bpf reads one primitive of the BPF language.
func (p *parser) bpf() predicate {
	first, s := p.word, either
	switch strings.ToLower(p.word) {
	case "src":
		s = source
		p.next()
	case "dst":
		s = destination
		p.next()
	}
	carried := predicate(nil)
	switch strings.ToLower(p.word) {
	case "udp":
		carried = func(x *facts) bool { return x.transport(protoUDP) }
	case "tcp":
		carried = func(x *facts) bool { return x.transport(protoTCP) }
	}
	if carried != nil {
		p.next()
		if p.kind != word || !strings.HasPrefix(strings.ToLower(p.word), "port") || strings.Contains(p.word, "=") {
			if s != either {
				p.fail("expected \"port\" or \"portrange\", got %q", p.word)
			}
			return carried
		}
	}
	kind := strings.ToLower(p.word)
	switch kind {
	case "host", "net", "port", "portrange":
		m := p.operand(kind, s)
		if carried == nil {
			return m
		}
		return func(x *facts) bool { return carried(x) && m(x) }
	case "ip", "ip6", "ike", "esp", "ah":
		if s == either {
			p.next()
			return alone(kind)
		}
	}
	if s == either {
		p.fail("%q is no term; write key=value (peer=192.0.2.1, spi=be9debbe, proto=esp) or host, net, port, udp, tcp, ip, ip6, ike, esp, ah", first)
	} else {
		p.fail("expected \"host\", \"net\" or \"port\" after %q, got %q", first, p.word)
	}
	return nothing
}

// operand reads what host, net, port or portrange is about.
func (p *parser) operand(kind string, s side) predicate {
	p.next()
	if p.kind != word {
		p.fail("%s needs a value, got %q", kind, p.word)
		return nothing
	}
	var m predicate
	switch kind {
	case "host":
		if _, err := netip.ParseAddr(p.word); err == nil {
			m = addresses(s)(p.word)
		}
	case "net":
		m = addresses(s)(p.word)
	default:
		m = ports(s)(p.word)
	}
	if m == nil {
		p.fail("%s does not take %q", kind, p.word)
		return nothing
	}
	p.next()
	return m
}

func alone(kind string) predicate {
	switch kind {
	case "ip":
		return func(x *facts) bool { return x.src.Unmap().Is4() }
	case "ip6":
		return func(x *facts) bool { return x.src.IsValid() && !x.src.Unmap().Is4() }
	}
	return proto(kind)
}

func addresses(s side) func(string) predicate {
	return func(v string) predicate {
		prefix, err := netip.ParsePrefix(v)
		if err != nil {
			a, err := netip.ParseAddr(v)
			if err != nil || a.Zone() != "" {
				return nil
			}
			a = a.Unmap()
			prefix = netip.PrefixFrom(a, a.BitLen())
		}
		return func(x *facts) bool { return x.address(s, prefix) }
	}
}

func ports(s side) func(string) predicate {
	return func(v string) predicate {
		r, ok := parseSpan(v, 1<<16-1)
		if !ok {
			return nil
		}
		return func(x *facts) bool { return x.port(s, r) }
	}
}

func spi(v string) predicate {
	v = strings.TrimPrefix(strings.ToLower(v), "0x")
	if len(v) != 8 && len(v) != 16 {
		return nil
	}
	n, err := strconv.ParseUint(v, 16, 64)
	if err != nil {
		return nil
	}
	ike := len(v) == 16
	return func(x *facts) bool { return x.spi(n, ike) }
}

func proto(v string) predicate {
	packet := func(is func(event.Proto) bool) predicate {
		return func(x *facts) bool { return x.event.Packet != nil && is(x.event.Packet.Proto) }
	}
	v = strings.ToLower(v)
	switch v {
	case "ike":
		return packet(func(p event.Proto) bool { return p == event.IKEv1 || p == event.IKEv2 })
	case "icmp":
		return func(x *facts) bool { return x.event.ICMP != nil }
	}
	for _, want := range []event.Proto{event.IKEv1, event.IKEv2, event.ESP, event.AH, event.Keepalive} {
		if v == want.String() {
			return packet(func(p event.Proto) bool { return p == want })
		}
	}
	return nil
}

func encap(v string) predicate {
	for _, want := range []event.Encap{event.UDP, event.UDPNATT, event.TCP, event.IP} {
		if strings.EqualFold(v, want.String()) {
			return func(x *facts) bool { return x.event.Packet != nil && x.event.Packet.Encap == want }
		}
	}
	return nil
}

func exchange(v string) predicate {
	if v == "" {
		return nil
	}
	number, err := strconv.ParseUint(v, 10, 8)
	name := strings.ReplaceAll(v, "-", "_")
	if err != nil && !knownExchange(name) {
		return nil
	}
	return func(x *facts) bool {
		p := x.event.Packet
		if p == nil || p.IKE == nil {
			return false
		}
		t := p.IKE.Message.Exchange
		if err == nil {
			return uint64(t) == number
		}
		return strings.EqualFold(t.String(), name)
	}
}

// knownExchange says whether some exchange type has this name.
func knownExchange(name string) bool {
	for i := range 256 {
		if strings.EqualFold(wire.ExchangeType(i).String(), name) {
			return true
		}
	}
	return false
}

func messageID(v string) predicate {
	r, ok := parseSpan(v, 1<<32-1)
	if !ok {
		return nil
	}
	return func(x *facts) bool {
		p := x.event.Packet
		return p != nil && p.IKE != nil && r.holds(uint64(p.IKE.Message.MessageID))
	}
}

func frame(v string) predicate {
	r, ok := parseSpan(v, 1<<63-1)
	if !ok {
		return nil
	}
	return func(x *facts) bool { return r.holds(uint64(x.event.Frame)) }
}

// parseSpan reads 7, 7-9, 7- and -9.
func parseSpan(v string, limit uint64) (span, bool) {
	low, high, ranged := strings.Cut(v, "-")
	if !ranged {
		high = low
	}
	if low == "" && high == "" {
		return span{}, false
	}
	r := span{0, limit}
	for _, edge := range []struct {
		text string
		into *uint64
	}{{low, &r.low}, {high, &r.high}} {
		if edge.text == "" {
			continue
		}
		n, err := strconv.ParseUint(edge.text, 10, 64)
		if err != nil || n > limit {
			return span{}, false
		}
		*edge.into = n
	}
	return r, r.low <= r.high
}
