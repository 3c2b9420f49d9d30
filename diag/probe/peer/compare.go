package peer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

// transforms compares the proposals that come nearest, transform by transform;
// "" where something fits.
func (l *listening) transforms(protocol string) string {
	var best, rows []event.Check // of one proposal of each side
	which := ""                  // "proposal 1 with our proposal 2"
	end := func() {
		if len(rows) > 0 && (best == nil || failed(rows) < failed(best)) {
			best = rows
		}
		rows, which = nil, ""
	}
	for i := range l.checks {
		c := &l.checks[i]
		if c.Kind == event.CheckTransform {
			_, of, _ := strings.Cut(c.What, " of ")
			if of != which {
				end()
			}
			rows, which = append(rows, *c), of
			continue
		}
		end()
		if c.Kind == event.CheckProposal {
			if strings.HasPrefix(c.What, protocol+" proposals") && best != nil {
				return rowWords(best)
			}
			best = nil // of another protocol, or of one that fitted
		}
	}
	return ""
}

func failed(rows []event.Check) int {
	n := 0
	for i := range rows {
		if !rows[i].OK {
			n++
		}
	}
	return n
}

// rowWords writes the comparison of two proposals in one line.
func rowWords(rows []event.Check) string {
	words := make([]string, 0, len(rows))
	for i := range rows {
		c := &rows[i]
		what, _, _ := strings.Cut(c.What, " of ")
		if c.OK {
			words = append(words, what+" "+c.Remote+" fits")
		} else {
			words = append(words, fmt.Sprintf("%s differs: %s here, %s there", what, c.Local, c.Remote))
		}
	}
	return strings.Join(words, "; ")
}

func kinds(k ...event.CheckKind) func(*event.Check) bool {
	return func(c *event.Check) bool { return slices.Contains(k, c.Kind) }
}

// firstFailed gives the first comparison of a kind that failed, in words after
// an introduction; "" where there is none.
func (l *listening) firstFailed(intro string, of func(*event.Check) bool) string {
	for i := range l.checks {
		c := &l.checks[i]
		if c.OK || c.Kind == event.CheckTransform || of != nil && !of(c) {
			continue
		}
		return intro + checkWords(c)
	}
	return ""
}

func checkWords(c *event.Check) string {
	if c.Why != "" && c.Kind == event.CheckMAC {
		return c.Why
	}
	words := fmt.Sprintf("%s: %s here, %s there", c.What, c.Local, c.Remote)
	if c.Why != "" {
		words += " (" + c.Why + ")"
	}
	return words
}

// proofs says that a comparison is one of those that make up authentication.
func proofs(c *event.Check) bool {
	switch c.Kind {
	case event.CheckMethod, event.CheckMAC, event.CheckSignature, event.CheckCertificate, event.CheckUnique:
		return true
	case event.CheckIdentity: // against a certificate, and not the ID payloads against ours
		return !strings.HasPrefix(c.What, "ID")
	}
	return false
}

// proof names what the peer's proof rests on, "" where it was not looked at.
func (l *listening) proof() string {
	for i := range l.checks {
		switch c := &l.checks[i]; {
		case !c.OK:
		case c.Kind == event.CheckMAC:
			return "preshared key"
		case c.Kind == event.CheckSignature:
			return "signature"
		}
	}
	return ""
}

// selectors compares the peer's with those of the child that fits, or with all.
func (l *listening) selectors() (words string, fit bool) {
	var bad []string
	good := map[string][]string{}
	for i := range l.checks {
		c := &l.checks[i]
		side, child, ok := strings.Cut(c.What, " against child ")
		if c.Kind != event.CheckSelector || !ok {
			continue
		}
		// TSr is this side's network, and TSi the peer's.
		whose := map[string]string{"TSr": "our network", "TSi": "the peer's network"}[side]
		if c.OK {
			good[child] = append(good[child], whose+" "+c.Remote)
			continue
		}
		bad = append(bad, fmt.Sprintf("%s is %s for child %s here, and %s there", whose, c.Local, child, c.Remote))
	}
	for _, both := range good {
		if len(both) >= 2 {
			return strings.Join(both, ", "), true
		}
	}
	return strings.Join(bad, "; "), len(bad) == 0
}
