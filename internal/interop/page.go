package interop

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// groups are the parts of a peer's section, in order; others come after them.
var groups = []string{"life", "encryption", "integrity", "PRF", "key exchange", "ESP", "combination", "authentication", "path", "negotiation",
	"child SAs", "rekeying", "liveness", "delete", "data"}

// Page writes the Markdown page of rows.
func Page(rows []Row) []byte {
	var b strings.Builder
	b.WriteString(`# The engine against real peers

Written by ` + "`make interop`" + ` from the rows in ` + "`testdata/interop`" + `: each row is a test that
ran against that daemon. "We initiate" means that our engine sent the first
message of the IKE SA, "we respond" that the peer did.
`)
	peers := map[string][]Row{}
	for _, r := range rows {
		peers[r.Peer+" "+r.Version] = append(peers[r.Peer+" "+r.Version], r)
	}
	names := slices.SortedFunc(maps.Keys(peers), natural)
	b.WriteString("\n| peer | rows | work | fail | peer lacks it |\n|---|---:|---:|---:|---:|\n")
	for _, name := range names {
		count := map[Outcome]int{}
		for _, r := range peers[name] {
			count[r.Outcome]++
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", cell(name), len(peers[name]), count[Works], count[Fails], count[Lacks])
	}
	for _, name := range names {
		section(&b, name, peers[name])
	}
	return []byte(b.String())
}

func section(b *strings.Builder, peer string, rows []Row) {
	fmt.Fprintf(b, "\n## %s\n", peer)
	parts := map[string][]Row{}
	for _, r := range rows {
		parts[r.group()] = append(parts[r.group()], r)
	}
	rank := func(g string) int {
		if i := slices.Index(groups, g); i >= 0 {
			return i
		}
		return len(groups)
	}
	for _, g := range slices.SortedFunc(maps.Keys(parts), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(b, "\n| %s | we initiate | we respond | detail |\n|---|---|---|---|\n", cell(g))
		byName := map[string]map[Role]Row{}
		for _, r := range parts[g] {
			if byName[r.name()] == nil {
				byName[r.name()] = map[Role]Row{}
			}
			byName[r.name()][r.Role] = r
		}
		for _, n := range slices.SortedFunc(maps.Keys(byName), natural) {
			i, r := byName[n][Initiator], byName[n][Responder]
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", cell(n), cell(string(i.Outcome)), cell(string(r.Outcome)), cell(details(i.Detail, r.Detail)))
		}
	}
}

// details joins what is said of both roles.
func details(i, r string) string {
	switch {
	case i == r || r == "":
		return i
	case i == "":
		return r
	}
	return "initiating: " + i + "; responding: " + r
}

// cell is text for a table: nothing in it ends the cell or begins markup.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ", "<", "&lt;", "*", `\*`, "_", `\_`, "`", "'").Replace(s)
}

// natural compares text with numbers in it by their value: modp2048 before
// modp10240.
func natural(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if c := cmp.Compare(a[0], b[0]); c != 0 {
			return c
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits counts the leading digits of s.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
