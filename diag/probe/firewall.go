package probe

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
)

// chainsOf reads what `nft -j list ruleset` prints (libnftables-json(5)): the
// chains that are hooked into the packets' way, with what a rule here matters
// by. What it does not know makes a rule Narrow.
func chainsOf(ruleset []byte) ([]diag.HostChain, error) {
	var doc struct {
		Nftables []struct {
			Chain *struct {
				Family, Table, Name, Hook, Policy string
			}
			Rule *struct {
				Family, Table, Chain string
				Expr                 []map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(ruleset, &doc); err != nil {
		return nil, fmt.Errorf("output of nft: %w", err)
	}
	chains := []diag.HostChain{}
	at := map[string]int{}
	for _, o := range doc.Nftables {
		switch {
		case o.Chain != nil && o.Chain.Hook != "" && len(chains) < maxEntries:
			c := o.Chain
			at[c.Family+" "+c.Table+" "+c.Name] = len(chains)
			chains = append(chains, diag.HostChain{Table: c.Family + " " + c.Table, Name: c.Name, Hook: c.Hook, Policy: c.Policy})
		case o.Rule != nil:
			i, ok := at[o.Rule.Family+" "+o.Rule.Table+" "+o.Rule.Chain]
			if !ok || len(chains[i].Rules) >= maxEntries {
				continue
			}
			chains[i].Rules = append(chains[i].Rules, ruleOf(o.Rule.Expr))
		}
	}
	return chains, nil
}

func ruleOf(exprs []map[string]json.RawMessage) diag.HostRule {
	var r diag.HostRule
	var words []string
	for _, e := range exprs {
		for name, value := range e {
			switch name {
			case "counter", "comment", "log", "limit":
			case "accept", "drop", "reject", "masquerade", "snat", "dnat", "return", "jump", "goto", "queue":
				r.Verdict = name
				words = append(words, name)
			case "match":
				words = append(words, matchOf(value, &r))
			case "xt":
				// A match or target of iptables, told by its name only.
				var x struct{ Type, Name string }
				if json.Unmarshal(value, &x) == nil {
					switch {
					case x.Name == "policy":
						r.IPsec = true
					case x.Type == "target":
						r.Verdict = strings.ToLower(x.Name)
					default:
						r.Narrow = true
					}
					words = append(words, x.Name)
				}
			default:
				r.Narrow = true
				words = append(words, name)
			}
		}
	}
	r.Text = strings.Join(words, " ")
	return r
}

// matchOf reads one match into a rule and gives it in words.
func matchOf(value json.RawMessage, r *diag.HostRule) string {
	var m struct {
		Op    string
		Left  map[string]json.RawMessage
		Right json.RawMessage
	}
	if json.Unmarshal(value, &m) != nil {
		r.Narrow = true
		return "(a match)"
	}
	var field struct{ Protocol, Field, Key string }
	for name, left := range m.Left {
		_ = json.Unmarshal(left, &field) // what is not told stays empty
		if name == "rt" || name == "ipsec" || field.Key == "ipsec" || field.Key == "secpath" {
			r.IPsec = true
			return "ipsec"
		}
	}
	text := strings.TrimSpace(field.Protocol + " " + field.Field + " " + field.Key)
	positive := m.Op == "==" || m.Op == "in" || m.Op == ""
	switch {
	case field.Field == "dport" && positive:
		r.Protocol, r.Ports = field.Protocol, portsOf(m.Right)
	case (field.Key == "l4proto" || field.Field == "protocol" || field.Field == "nexthdr") && positive:
		if json.Unmarshal(m.Right, &r.Protocol) != nil {
			r.Narrow = true
		}
	case field.Field == "daddr" && positive && prefixOf(m.Right).IsValid():
		r.Dst = prefixOf(m.Right)
	case field.Field == "saddr" && positive && prefixOf(m.Right).IsValid():
		r.Src = prefixOf(m.Right)
	default:
		r.Narrow = true
	}
	return strings.TrimSpace(text + " " + string(m.Right[:min(len(m.Right), 60)]))
}

func portsOf(right json.RawMessage) []uint16 {
	var one uint16
	if json.Unmarshal(right, &one) == nil {
		return []uint16{one}
	}
	var set struct{ Set []json.RawMessage }
	ports := []uint16{}
	if json.Unmarshal(right, &set) == nil {
		for _, p := range set.Set {
			if json.Unmarshal(p, &one) == nil {
				ports = append(ports, one)
			}
		}
	}
	return ports
}

func prefixOf(right json.RawMessage) netip.Prefix {
	var word string
	if json.Unmarshal(right, &word) == nil {
		if a, err := netip.ParseAddr(word); err == nil {
			return netip.PrefixFrom(a, a.BitLen())
		}
		return netip.Prefix{}
	}
	var p struct {
		Prefix struct {
			Addr string
			Len  int
		}
	}
	if json.Unmarshal(right, &p) != nil {
		return netip.Prefix{}
	}
	a, err := netip.ParseAddr(p.Prefix.Addr)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, p.Prefix.Len)
}
