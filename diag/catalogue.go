package diag

import (
	"maps"
	"slices"
	"sync"
)

// families are the parts of the catalogue, a file each, in the order in which
// a reader wants them: from the first packet to the thousandth rekey.
var families = []struct {
	title   string
	entries []Entry
}{
	{"Reaching the peer", reachEntries},
	{"Agreeing on algorithms", cryptoEntries},
	{"Authentication: identities and shared keys", authEntries},
	{"Authentication: certificates and signatures", certEntries},
	{"Authentication: EAP", eapEntries},
	{"CHILD SAs, traffic selectors and addresses", childEntries},
	{"Address translation", natEntries},
	{"Traffic through the tunnel", dataEntries},
	{"The host under the tunnel", hostEntries},
	{"Rekeying, liveness and the end of SAs", lifeEntries},
	{"Hard to see from one side", practiceEntries},
}

// index finds entries by ID and by alias. It is built on first use.
var index = sync.OnceValue(func() map[string]*Entry {
	m := map[string]*Entry{}
	for _, f := range families {
		for i := range f.entries {
			e := &f.entries[i]
			m[e.ID] = e
			for _, a := range e.Aliases {
				m[a] = e
			}
		}
	}
	return m
})

// Lookup finds an entry of the Catalogue by its ID or one of its aliases. The
// entry's slices are shared: a caller changes none of them.
func Lookup(id string) (Entry, bool) {
	e, ok := index()[id]
	if !ok {
		return Entry{}, false
	}
	return *e, true
}

// All gives the whole Catalogue in the order of its families.
func All() []Entry {
	var all []Entry
	for _, f := range families {
		all = append(all, f.entries...)
	}
	return all
}

// Names gives every ID and alias that Lookup knows, sorted.
func Names() []string { return slices.Sorted(maps.Keys(index())) }

// The helpers below keep the entries short enough to read.

func capture(what string) Shows { return Shows{"capture", what} }
func keyed(what string) Shows   { return Shows{"capture with keys", what} }
func native(what string) Shows  { return Shows{"engine", what} }
func charon(what string) Shows  { return Shows{"strongswan", what} }
func host(what string) Shows    { return Shows{"host", what} }

func swan(side, change string) Remedy {
	return Remedy{Side: side, Platform: "strongswan", Change: change}
}
func libre(side, change string) Remedy {
	return Remedy{Side: side, Platform: "libreswan", Change: change}
}
func cisco(side, change string) Remedy { return Remedy{Side: side, Platform: "cisco", Change: change} }
func forti(side, change string) Remedy {
	return Remedy{Side: side, Platform: "fortios", Change: change}
}
func pan(side, change string) Remedy { return Remedy{Side: side, Platform: "pan-os", Change: change} }
func windows(side, change string) Remedy {
	return Remedy{Side: side, Platform: "windows", Change: change}
}
func azure(side, change string) Remedy  { return Remedy{Side: side, Platform: "azure", Change: change} }
func aws(side, change string) Remedy    { return Remedy{Side: side, Platform: "aws", Change: change} }
func linux(side, change string) Remedy  { return Remedy{Side: side, Platform: "linux", Change: change} }
func anyone(side, change string) Remedy { return Remedy{Side: side, Platform: "any", Change: change} }
func network(change string) Remedy      { return Remedy{Side: "network", Platform: "any", Change: change} }
