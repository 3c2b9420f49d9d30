package diag

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// platforms are the systems that the catalogue has remedies for, in its words
// and in those of people.
var platforms = []struct{ name, words string }{
	{"strongswan", "strongSwan"}, {"libreswan", "Libreswan"}, {"openiked", "OpenIKED"}, {"cisco", "Cisco IOS or ASA"},
	{"pan-os", "PAN-OS"}, {"fortios", "a FortiGate"}, {"windows", "Windows"}, {"azure", "Azure"}, {"aws", "AWS"},
}

// Platforms are the names of the systems that a peer can be told to be.
func Platforms() []string {
	var names []string
	for _, p := range platforms {
		names = append(names, p.name)
	}
	return names
}

func platformWords(name string) string {
	for _, p := range platforms {
		if p.name == name {
			return p.words
		}
	}
	return name
}

// claims say what a product's vendor id begins with. Ids that others send too
// (FlexVPN, Unity, DPD, NAT-T) are none: they say nothing of who sends them.
var claims = []struct{ begins, platform string }{
	{"strongSwan", "strongswan"},
	{"Linux strongSwan", "strongswan"},
	{"Libreswan", "libreswan"},
	{"OpenIKED", "openiked"},
	{"Cisco delete reason", "cisco"},
	{"Cisco copyright notice", "cisco"},
	{"Cisco FlexVPN dynamic route", "cisco"},
	{"Cisco GRE mode", "cisco"},
	{"Cisco IOS device", "cisco"},
	{"Fortinet FortiGate", "fortios"},
	{"Microsoft Windows", "windows"},
	{"Windows KEY_MODS", "windows"},
}

// Claimed gives the platform that a vendor id's name stands for, "" where it
// says nothing or the catalogue has no remedies for it. A vendor id is not
// authenticated: say "claims to be".
func Claimed(vendorID string) string {
	for _, c := range claims {
		if strings.HasPrefix(vendorID, c.begins) {
			return c.platform
		}
	}
	return ""
}

// known is what there is to know of the two ends of a finding.
type known struct {
	platform [2]string // of local and remote, "" where not known
	words    [2]string // how that is known, for people; "" where it was told
	// seeming says that it is a guess by how the end behaves.
	seeming [2]bool
	// initiator says which of the two is the initiator; -1 where not known.
	initiator int
}

// the ends of a subject
const (
	localEnd = iota
	remoteEnd
)

// knowing finds out about the ends of a finding: what the operator told counts
// first, then what the peer claims.
func (f *Facts) knowing(s *Subject, sas map[string]*trace.IKESA) known {
	k := known{initiator: -1}
	if sa := sas[s.SPIi]; sa != nil {
		k.initiator = localEnd
		if byUs, ok := sa.Initiator.Get(); ok && !byUs {
			k.initiator = remoteEnd
		}
		k.claimed(sa)
	}
	// What is here takes swanctl's words: a charon, or our own engine.
	ours := f.Trace != nil && f.Trace.Daemon.Known
	if ours {
		k.platform[localEnd], k.words[localEnd], k.seeming[localEnd] = "strongswan", "", false
	}
	for end, address := range []string{s.Local, s.Remote} {
		told, ok := f.Vendors[address]
		if !ok && (end == remoteEnd || !ours) {
			told, ok = f.Vendors[""]
		}
		if ok {
			k.platform[end], k.words[end], k.seeming[end] = told, "", false
		}
	}
	return k
}

// claimed notes what the two sides of an SA claim to be.
func (k *known) claimed(sa *trace.IKESA) {
	for _, v := range sa.VendorIDs {
		end := k.initiator
		if v.By == trace.Responder {
			end = 1 - end
		}
		if p := Claimed(v.Name); p != "" && v.By != trace.Nobody && k.platform[end] == "" {
			k.platform[end] = p
			address := [2]netip.Addr{sa.Local.Host, sa.Remote.Host}[end]
			k.words[end] = fmt.Sprintf("%s claims to be %s: vendor id %q", address, platformWords(p), v.Name)
		}
	}
	for end, address := range []netip.Addr{sa.Local.Host, sa.Remote.Host} {
		by := trace.Initiator
		if end != k.initiator {
			by = trace.Responder
		}
		if p, how := habit(sa, by); p != "" && k.platform[end] == "" {
			k.platform[end], k.seeming[end] = p, true
			k.words[end] = fmt.Sprintf("%s seems to be %s: %s", address, platformWords(p), how)
		}
	}
}

// bySPI finds the IKE SAs that findings are about.
func (f *Facts) bySPI() map[string]*trace.IKESA {
	if f.Trace == nil {
		return nil
	}
	m := make(map[string]*trace.IKESA, len(f.Trace.SAs))
	for _, sa := range f.Trace.SAs {
		m[sa.InitiatorSPI.String()] = sa
	}
	return m
}

// ends gives the ends of a finding that a side means; none for the network.
func (k *known) ends(side string) []int {
	switch {
	case side == "local":
		return []int{localEnd}
	case side == "remote":
		return []int{remoteEnd}
	case side == "both", k.initiator < 0 && (side == "initiator" || side == "responder"):
		return []int{localEnd, remoteEnd}
	case side == "initiator":
		return []int{k.initiator}
	case side == "responder":
		return []int{1 - k.initiator}
	}
	return nil
}

// suit leaves of a finding's remedies those that the systems at its two ends
// understand. One for whose system there is none gets swanctl's, which say what
// is meant. Where a system is not known, swanctl's words come first, and the
// others stay behind, marked as such.
func (f *Facts) suit(found *Finding, sas map[string]*trace.IKESA) {
	if len(found.Remedies) == 0 {
		return
	}
	k := f.knowing(&found.Subject, sas)
	has := func(end int, platform string) bool {
		return slices.ContainsFunc(found.Remedies, func(r Remedy) bool {
			return r.Platform == platform && slices.Contains(k.ends(r.Side), end)
		})
	}
	guessed, used := [2]bool{}, [2]bool{}
	for end, p := range k.platform {
		if p != "" && has(end, p) {
			guessed[end] = k.seeming[end] // the other systems' words stay beside it
			continue
		}
		guessed[end] = p == ""
		k.platform[end], k.words[end] = "", ""
		if has(end, "strongswan") {
			k.platform[end] = "strongswan"
		}
	}
	var fit, others []Remedy
	for _, r := range found.Remedies {
		ends := k.ends(r.Side)
		fits := len(ends) == 0 || r.Platform == "any" || r.Platform == "" || r.Platform == "linux"
		r.Other = false
		for _, end := range ends {
			switch k.platform[end] {
			case "":
				fits = true
			case r.Platform:
				fits, used[end] = true, true
			default:
				r.Other = r.Other || guessed[end]
			}
		}
		if fits {
			r.Other = false
			fit = append(fit, r)
		} else if r.Other {
			others = append(others, r)
		}
	}
	found.Remedies = append(fit, others...)
	for end, words := range k.words {
		if used[end] && words != "" {
			found.Claims = append(found.Claims, words)
		}
	}
}
