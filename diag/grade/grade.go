// Package grade judges the algorithms of IKEv2 and ESP by what the RFCs say of them and
// by profiles that organisations prescribe.
//
// Contract: pure tables. A profile grades each transform of a proposal on
// its own; an algorithm that it does not name is Unnamed, never guessed.
package grade

import (
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Level is a verdict on one algorithm, best first.
type Level uint8

// The levels.
const (
	Good      Level = iota + 1 // recommended, or prescribed by the profile
	Allowed                    // may be used; nobody recommends it
	Weak                       // on its way out, or advised against
	Forbidden                  // must not be used, or not within the profile
	Unnamed                    // the profile says nothing of it
)

var levelNames = [...]string{"", "good", "allowed", "weak", "forbidden", "unnamed"}

// String gives "good", "allowed", "weak", "forbidden" or "unnamed".
func (l Level) String() string { return levelNames[min(int(l), len(levelNames)-1)] }

// Grade is what a profile says of an algorithm.
type Grade struct {
	Level Level
	Why   string // "SHOULD NOT (RFC 8247 2.4)"
}

// Profile is a set of rules about algorithms.
type Profile struct {
	Name   string // as --profile takes it
	Title  string
	Source string
	of     func(t wire.TransformType, id uint16, bits int) Grade
	esp    func(t wire.TransformType, id uint16, bits int) Grade
	// ESPSource is where it says so of ESP, where that is elsewhere.
	ESPSource string
	// Suite is a proposal for IKE that the profile is content with, in swanctl's
	// spelling.
	Suite string
	// Note is what whoever relies on the profile has to know, "" for nothing.
	Note string
}

// OfESP grades a transform of an ESP proposal as Of does one of IKE.
func (p *Profile) OfESP(t wire.TransformType, id uint16, bits int) Grade {
	if g := p.esp(t, id, bits); g.Level != 0 {
		return g
	}
	return Grade{Unnamed, p.ESPSource + " does not name it"}
}

// Of grades a transform of an IKE proposal by type, id and key length in bits,
// 0 where it has none.
func (p *Profile) Of(t wire.TransformType, id uint16, bits int) Grade {
	if g := p.of(t, id, bits); g.Level != 0 {
		return g
	}
	return Grade{Unnamed, p.Source + " does not name it"}
}

// Profiles are the profiles there are; the first is the usual one.
var Profiles = []*Profile{
	{Name: "rfc", Title: "IETF requirements for IKEv2", Source: "RFC 8247 with RFC 9395", of: ietf, esp: ietfESP, ESPSource: "RFC 8221 with RFC 9395",
		Suite: "aes256gcm16-prfsha384-ecp384"},
	{Name: "cnsa1", Title: "Commercial National Security Algorithm Suite 1.0", Source: "CNSA 1.0 (RFC 9206)", of: cnsa1, esp: cnsa1ESP, ESPSource: "CNSA 1.0 (RFC 9206)",
		Suite: "aes256gcm16-prfsha384-ecp384", Note: "The profile cnsa1 holds the algorithms of RFC 9206 as they are generally quoted, and was not compared with its text: for a verdict that counts, read it."},
	{Name: "cnsa2", Title: "Commercial National Security Algorithm Suite 2.0", Source: "CNSA 2.0", of: cnsa2, esp: cnsa2, ESPSource: "CNSA 2.0",
		Suite: "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024"},
	{Name: "nist", Title: "Guide to IPsec VPNs, FIPS-approved algorithms", Source: "NIST SP 800-77r1", of: nist, esp: nist, ESPSource: "NIST SP 800-77r1",
		Suite: "aes256gcm16-prfsha384-ecp384"},
}

// Named finds a profile by its name.
func Named(name string) (*Profile, error) {
	i := slices.IndexFunc(Profiles, func(p *Profile) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range Profiles {
			names = append(names, p.Name)
		}
		return nil, fmt.Errorf("profile %q is not known; there are %v", name, names)
	}
	return Profiles[i], nil
}

// row is a line of a table: an algorithm, with a key length where that matters.
type row struct {
	id    uint16
	bits  int // 0 for any
	level Level
	why   string
}

func lookup(rows []row, id uint16, bits int) Grade {
	for _, r := range rows {
		if r.id == id && (r.bits == 0 || r.bits == bits) {
			return Grade{r.level, r.why}
		}
	}
	return Grade{}
}
