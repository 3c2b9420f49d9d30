package policy

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxDuration bounds every time of a policy: ten years.
const maxDuration = 10 * 365 * 24 * time.Hour

var timeParts = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([0-9]+)([dhms])`) })

// parseDuration reads text that meets timePattern.
func parseDuration(s string) (time.Duration, error) {
	units := map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second}
	var d time.Duration
	for _, part := range timeParts().FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseInt(part[1], 10, 64)
		if err != nil || n > int64(maxDuration/units[part[2]]) {
			return 0, fmt.Errorf("%s is more than 10 years", quoted(s))
		}
		if d += time.Duration(n) * units[part[2]]; d > maxDuration {
			return 0, fmt.Errorf("%s is more than 10 years", quoted(s))
		}
	}
	return d, nil
}

// formatDuration writes a time as parseDuration reads it.
func formatDuration(d time.Duration) string {
	if d < time.Second {
		return "0s"
	}
	s := strings.Builder{}
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&s, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	return s.String()
}

// parseSize reads text that meets sizePattern.
func parseSize(s string) (uint64, error) {
	digits := strings.TrimRight(s, "BKMGTi")
	units := map[string]uint64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
	unit := units[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || unit == 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%s is more octets than can be counted", quoted(s))
	}
	return n * unit, nil
}

func checkDuration(r *report, n *node, path string) bool {
	if _, err := parseDuration(n.text); err != nil {
		r.at(n, Error, "out-of-range", path, "%v", err)
		return false
	}
	return true
}

func checkSize(r *report, n *node, path string) bool {
	if _, err := parseSize(n.text); err != nil {
		r.at(n, Error, "out-of-range", path, "%v", err)
		return false
	}
	return true
}

// Address is where an IKE message may come from or go to. The zero value is
// any address.
type Address struct {
	Prefix netip.Prefix // one address has all its bits; not valid for others
	Host   string       // a name to be resolved
}

// Any says that every address is meant.
func (a Address) Any() bool { return !a.Prefix.IsValid() && a.Host == "" }

// Single says that one address, by number or by name, is meant: one that can
// be spoken to.
func (a Address) Single() bool { return a.Host != "" || a.Prefix.IsValid() && a.Prefix.IsSingleIP() }

// String gives the address as swanctl takes it: %any, 192.0.2.1, 192.0.2.0/24.
func (a Address) String() string {
	switch {
	case a.Host != "":
		return a.Host
	case !a.Prefix.IsValid():
		return "%any"
	case a.Prefix.IsSingleIP():
		return a.Prefix.Addr().String()
	}
	return a.Prefix.String()
}

// written gives the address as the file has it.
func (a Address) written() string {
	if a.Any() {
		return "any"
	}
	return a.String()
}

const hostPattern = `([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.?`

// parseAddress reads an address as the file has it.
func parseAddress(s string) (Address, error) {
	if s == "any" || s == "%any" {
		return Address{}, nil
	}
	if strings.Contains(s, "/") {
		p, err := parsePrefix(s)
		return Address{Prefix: p}, err
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if err := plainAddr(a); err != nil {
			return Address{}, err
		}
		return Address{Prefix: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if len(s) <= 253 && matches(hostPattern, s) {
		return Address{Host: s}, nil
	}
	return Address{}, fmt.Errorf("%s is no address, prefix, host name, or any", quoted(s))
}

// plainAddr refuses forms of an address that only confuse.
func plainAddr(a netip.Addr) error {
	if a.Is4In6() {
		return fmt.Errorf("%s is IPv4 in IPv6; write %s", a, a.Unmap())
	}
	if a.Zone() != "" && !a.IsLinkLocalUnicast() {
		return fmt.Errorf("%s: only link-local addresses have an interface", a)
	}
	return nil
}

// parsePrefix reads a prefix whose host bits are zero.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%s is no prefix: want an address and a length like 192.0.2.0/24 or 2001:db8::/32", quoted(s))
	}
	if err := plainAddr(p.Addr()); err != nil {
		return netip.Prefix{}, err
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length; did you mean %s?", p, p.Masked())
	}
	return p, nil
}

// Range is a run of addresses of one family, both ends belonging to it.
type Range struct{ From, To netip.Addr }

// String gives the range as a prefix where it is one.
func (a Range) String() string {
	if p, ok := a.Prefix(); ok {
		return p.String()
	}
	return a.From.String() + "-" + a.To.String()
}

// Prefix gives the range as a prefix, where it is one.
func (a Range) Prefix() (netip.Prefix, bool) {
	if !a.From.IsValid() {
		return netip.Prefix{}, false
	}
	for bits := 0; bits <= a.From.BitLen(); bits++ {
		p := netip.PrefixFrom(a.From, bits)
		if p.Masked() == p && lastAddr(p) == a.To {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// lastAddr gives the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// parseRange reads a prefix, a single address, or two addresses with a dash.
func parseRange(s string) (Range, error) {
	from, to, dash := strings.Cut(s, "-")
	if dash {
		a, errA := netip.ParseAddr(strings.TrimSpace(from))
		b, errB := netip.ParseAddr(strings.TrimSpace(to))
		switch {
		case errA != nil || errB != nil || plainAddr(a) != nil || plainAddr(b) != nil || a.Zone() != "" || b.Zone() != "":
			return Range{}, fmt.Errorf("%s is no range: want two addresses with a dash", quoted(s))
		case a.BitLen() != b.BitLen():
			return Range{}, fmt.Errorf("%s mixes IPv4 and IPv6", quoted(s))
		case b.Less(a):
			return Range{}, fmt.Errorf("%s ends before it begins", quoted(s))
		}
		return Range{a, b}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if err := plainAddr(a); err != nil {
			return Range{}, err
		}
		return Range{a, a}, nil
	}
	p, err := parsePrefix(s)
	if err != nil {
		return Range{}, err
	}
	return Range{p.Addr(), lastAddr(p)}, nil
}

// Selector says which packets a CHILD SA carries, on one side (RFC 7296
// 3.13.1).
type Selector struct {
	Dynamic   bool  // the outer or virtual address of the side; Range is not set
	Range     Range // addresses
	Protocol  uint8 // IP protocol, 0 for any
	StartPort uint16
	EndPort   uint16 // 65535 with StartPort 0 is every port
}

// protocolNames are the protocols that may be written by name.
var protocolNames = []struct {
	name   string
	number uint8
}{{"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"gre", 47}, {"icmpv6", 58}, {"ospf", 89}, {"sctp", 132}}

// String gives the selector as swanctl takes it: 10.1.0.0/16[tcp/443].
func (s Selector) String() string {
	text := "dynamic"
	if !s.Dynamic {
		text = s.Range.String()
	}
	allPorts := s.StartPort == 0 && s.EndPort == math.MaxUint16
	if s.Protocol == 0 && allPorts {
		return text
	}
	protocol := strconv.Itoa(int(s.Protocol))
	for _, p := range protocolNames {
		if p.number == s.Protocol {
			protocol = p.name
		}
	}
	if s.Protocol == 0 {
		protocol = ""
	}
	switch {
	case allPorts:
		return text + "[" + protocol + "]"
	case s.StartPort == s.EndPort:
		return fmt.Sprintf("%s[%s/%d]", text, protocol, s.StartPort)
	}
	return fmt.Sprintf("%s[%s/%d-%d]", text, protocol, s.StartPort, s.EndPort)
}

// parseSelector reads a selector as String writes it.
func parseSelector(s string) (Selector, error) {
	sel := Selector{EndPort: math.MaxUint16}
	addr, rest, bracket := strings.Cut(s, "[")
	if bracket {
		inside, ok := strings.CutSuffix(rest, "]")
		if !ok || inside == "" {
			return sel, fmt.Errorf("%s: want [protocol] or [protocol/port] at the end", quoted(s))
		}
		if err := sel.setPorts(inside); err != nil {
			return sel, fmt.Errorf("%s: %w", quoted(s), err)
		}
	}
	if addr == "dynamic" {
		sel.Dynamic = true
		return sel, nil
	}
	var err error
	if sel.Range, err = parseRange(addr); err == nil && sel.Range.From.Zone() != "" {
		err = fmt.Errorf("%s: a selector has no interface", quoted(s))
	}
	return sel, err
}

// setPorts reads "tcp", "tcp/443", "/53" and "udp/1024-2047".
func (s *Selector) setPorts(text string) error {
	protocol, ports, slash := strings.Cut(text, "/")
	if protocol != "" {
		i := slices.IndexFunc(protocolNames, func(p struct {
			name   string
			number uint8
		}) bool {
			return p.name == protocol
		})
		if i >= 0 {
			s.Protocol = protocolNames[i].number
		} else {
			n, err := strconv.ParseUint(protocol, 10, 8)
			if err != nil || n == 0 {
				return fmt.Errorf("%s is no protocol: want a number from 1 to 255 or icmp, tcp, udp, gre, icmpv6, ospf, sctp", quoted(protocol))
			}
			s.Protocol = uint8(n)
		}
	}
	if !slash {
		return nil
	}
	first, last, dash := strings.Cut(ports, "-")
	if !dash {
		last = first
	}
	from, errFrom := strconv.ParseUint(first, 10, 16)
	to, errTo := strconv.ParseUint(last, 10, 16)
	if errFrom != nil || errTo != nil || to < from {
		return fmt.Errorf("%s is no port or range of ports", quoted(ports))
	}
	s.StartPort, s.EndPort = uint16(from), uint16(to)
	return nil
}

// overlaps says whether a packet's side can match both.
func (s Selector) overlaps(o Selector) bool {
	if s.Dynamic || o.Dynamic {
		return false // not known before the SA is up
	}
	return s.Range.From.BitLen() == o.Range.From.BitLen() &&
		s.Range.From.Compare(o.Range.To) <= 0 && o.Range.From.Compare(s.Range.To) <= 0 &&
		(s.Protocol == 0 || o.Protocol == 0 || s.Protocol == o.Protocol) &&
		s.StartPort <= o.EndPort && o.StartPort <= s.EndPort
}

// parseVirtual reads an inner address that is asked for: ipv4 and ipv6 leave
// the choice to the peer.
func parseVirtual(s string) (netip.Addr, error) {
	switch s {
	case "ipv4":
		return netip.IPv4Unspecified(), nil
	case "ipv6":
		return netip.IPv6Unspecified(), nil
	}
	return parseIP(s)
}

// parseWanted reads an inner address that is asked for as swanctl has it: the
// unspecified one leaves the choice to the peer.
func parseWanted(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("%s is no address", quoted(s))
	}
	return a, plainAddr(a)
}

func parseIP(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, fmt.Errorf("%s is no address", quoted(s))
	}
	return a, plainAddr(a)
}

// checkBy makes a check of a parser.
func checkBy[T any](parse func(string) (T, error)) func(*report, *node, string) bool {
	return func(r *report, n *node, path string) bool {
		if _, err := parse(n.text); err != nil {
			r.at(n, Error, "bad-value", path, "%v", err)
			return false
		}
		return true
	}
}

var (
	checkAddress  = checkBy(parseAddress)
	checkSelector = checkBy(parseSelector)
	checkVirtual  = checkBy(parseVirtual)
	checkIP       = checkBy(parseIP)
	checkPrefix   = checkBy(parsePrefix)
	checkPool     = checkBy(parseRange)
)
