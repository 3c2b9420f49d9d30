package probe

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
)

// builtin are the chains of iptables that are hooked into the packets' way.
var builtin = []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

// legacyChains reads what iptables-save prints (iptables-save(8)) of the tables
// that nft does not show. family is ip or ip6. What it does not know makes a
// rule Narrow.
func legacyChains(family string, saved []byte) ([]diag.HostChain, error) {
	chains := []diag.HostChain{}
	at := map[string]int{}
	table := ""
	s := bufio.NewScanner(bytes.NewReader(saved))
	s.Buffer(nil, 64<<10)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		switch {
		case line == "" || line[0] == '#' || line == "COMMIT":
		case line[0] == '*':
			table, at = line[1:], map[string]int{}
		case line[0] == ':':
			f := strings.Fields(line[1:])
			if len(f) < 2 || !slices.Contains(builtin, f[0]) || len(chains) >= maxEntries {
				continue
			}
			at[f[0]] = len(chains)
			chains = append(chains, diag.HostChain{Table: family + " " + table, Name: f[0], Hook: strings.ToLower(f[0]), Policy: strings.ToLower(f[1])})
		default:
			words := strings.Fields(line)
			if words[0] != "-A" || len(words) < 2 {
				continue // a counter before it, or a version's own addition
			}
			i, hooked := at[words[1]]
			if hooked && len(chains[i].Rules) < maxEntries {
				chains[i].Rules = append(chains[i].Rules, legacyRule(words[2:]))
			}
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("output of iptables-save: %w", err)
	}
	return chains, nil
}

// legacyRule reads the words of one rule.
func legacyRule(words []string) diag.HostRule {
	r := diag.HostRule{Text: strings.Join(words, " ")}
	negated := false
	// next gives the word after i, "" where there is none.
	next := func(i int) string {
		if i+1 < len(words) {
			return words[i+1]
		}
		return ""
	}
	for i := 0; i < len(words); i++ {
		value := next(i)
		was := negated
		negated = false
		switch words[i] {
		case "!":
			negated = true
		case "-j", "-g":
			r.Verdict = strings.ToLower(value)
			if !slices.Contains([]string{"accept", "drop", "reject", "masquerade", "snat", "dnat", "return", "queue", "log", "mark", "tcpmss"}, r.Verdict) {
				r.Verdict = "jump"
			}
			i++
		case "-m":
			switch value {
			case "policy":
				r.IPsec = true
			case "udp", "tcp", "multiport", "comment", "esp", "ah":
			default:
				r.Narrow = true
			}
			i++
		case "-p":
			if r.Protocol = value; was {
				r.Protocol, r.Narrow = "", true
			}
			i++
		case "-s", "-d":
			p := legacyPrefix(value)
			switch {
			case was || !p.IsValid():
				r.Narrow = true
			case words[i] == "-s":
				r.Src = p
			default:
				r.Dst = p
			}
			i++
		case "--dport", "--dports":
			if r.Ports = legacyPorts(value); was || r.Ports == nil {
				r.Ports, r.Narrow = nil, true
			}
			i++
		case "--comment", "--pol", "--dir", "--reject-with", "--to-source", "--to-destination":
			i++ // of what is known above
		default:
			if strings.HasPrefix(words[i], "-") && !r.IPsec {
				r.Narrow = true // an interface, a mark, a state
			}
		}
	}
	return r
}

func legacyPrefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked()
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	return netip.Prefix{}
}

// legacyPorts reads "500", "500,4500" and short ranges "500:501".
func legacyPorts(s string) []uint16 {
	var l []uint16
	for word := range strings.SplitSeq(s, ",") {
		first, last, ranged := strings.Cut(word, ":")
		if !ranged {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || b < a {
			return nil
		}
		for p := a; p <= b; p++ {
			// Of a long range the ports of IKE are what matters.
			if b-a < 16 || p == 500 || p == 4500 {
				l = append(l, uint16(p))
			}
		}
	}
	if l == nil {
		return []uint16{}
	}
	return l
}
