package auth

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const rfcPSK = "RFC 7296 2.15"

// SharedKey is a pre-shared key and the identities that share it. Without
// Owners it is shared with everybody.
type SharedKey struct {
	Owners []wire.ID
	Key    suite.Secret
	// Elsewhere names the connection that the key is for, where that is another
	// one. Such a key proves nothing here: it only tells that keys were mixed up.
	Elsewhere string
}

// SharedKeys are credentials by pre-shared keys (RFC 7296 2.15).
type SharedKeys []SharedKey

// find gives the key that fits two identities best: one that names both goes
// before one that names one, and that before one that names nobody. The first
// of equals is taken.
func (ks SharedKeys) find(a, b *wire.ID) *SharedKey {
	var best *SharedKey
	score := -1
	for i := range ks {
		k := &ks[i]
		if k.Elsewhere != "" {
			continue
		}
		n := 0
		for j := range k.Owners {
			if SameID(&k.Owners[j], a) || SameID(&k.Owners[j], b) {
				n++
			}
		}
		if n == 0 && len(k.Owners) > 0 {
			continue
		}
		if n > score {
			best, score = k, n
		}
	}
	return best
}

// owners says in words whom there are keys for.
func (ks SharedKeys) owners() string {
	ks = slices.DeleteFunc(slices.Clone(ks), func(k SharedKey) bool { return k.Elsewhere != "" })
	if len(ks) == 0 {
		return "no keys"
	}
	words := make([]string, 0, len(ks))
	for i := range ks {
		if i == 8 {
			words = append(words, fmt.Sprintf("%d more", len(ks)-i))
			break
		}
		var ids []string
		for j := range ks[i].Owners {
			ids = append(ids, ks[i].Owners[j].String())
		}
		if len(ids) == 0 {
			ids = []string{"%any"}
		}
		words = append(words, strings.Join(ids, "+"))
	}
	return "keys of " + strings.Join(words, ", ")
}

// idText names an identity that may not be known.
func idText(id *wire.ID) string {
	if id.Type == 0 {
		return "an identity not told"
	}
	if text := id.String(); text != "" {
		return text
	}
	return "an empty identity of type " + id.Type.String()
}

// Prove makes AUTH with the key that both identities share.
func (ks SharedKeys) Prove(s *Statement) (*Proof, error) {
	k := ks.find(&s.Prover, &s.Verifier)
	if k == nil {
		return nil, &Error{Kind: event.CheckMAC, RFC: rfcPSK,
			What: fmt.Sprintf("no pre-shared key for %s with %s: %s", idText(&s.Prover), idText(&s.Verifier), ks.owners())}
	}
	return &Proof{Auth: wire.Auth{Method: wire.AuthSharedKey, Data: s.PRF.SharedKeyAuth(k.Key, s.Signed)}}, nil
}

// Verify compares AUTH with what the shared key makes.
func (ks SharedKeys) Verify(s *Statement, p *Proof, _ time.Time) *Verdict {
	v := &verdict{Verdict{Method: "pre-shared key"}}
	v.check(event.Check{Kind: event.CheckMethod, What: "authentication method of " + idText(&s.Prover), RFC: "RFC 7296 3.8",
		Local: wire.AuthSharedKey.String(), Remote: p.Auth.Method.String(), OK: p.Auth.Method == wire.AuthSharedKey})
	if v.Err != nil {
		return &v.Verdict
	}
	k := ks.find(&s.Prover, &s.Verifier)
	if k == nil {
		return v.fail(event.CheckMAC, rfcPSK, ks.owners(), idText(&s.Prover),
			"pre-shared key", fmt.Sprintf("none for %s with %s", idText(&s.Verifier), idText(&s.Prover)))
	}
	want := s.PRF.SharedKeyAuth(k.Key, s.Signed)
	c := event.Check{Kind: event.CheckMAC, What: "AUTH of " + idText(&s.Prover), RFC: rfcPSK, OK: same(want, p.Auth.Data),
		Local: macText(want), Remote: macText(p.Auth.Data)}
	if !c.OK {
		c.Near, c.Why = ks.near(k, func(key suite.Secret) bool { return same(s.PRF.SharedKeyAuth(key, s.Signed), p.Auth.Data) })
	}
	v.check(c)
	return &v.Verdict
}

// near says what the peer's key is, where it is no stranger to us: a near miss
// of ours, or a key for others. It changes nothing in the verdict, tells nothing
// of the key but its kind, and makes at most some hundred MACs.
func (ks SharedKeys) near(ours *SharedKey, verifies func(suite.Secret) bool) (id, why string) {
	list := NearMisses(ours.Key)
	for _, n := range list {
		if verifies(n.Key) {
			return n.ID, "the peer's key is our key " + n.Says
		}
	}
	tried := 0
	for i := range ks {
		k := &ks[i]
		if k == ours || tried == maxOtherKey {
			continue
		}
		tried++
		switch {
		case !verifies(k.Key):
		case k.Elsewhere != "":
			return NearOther, "the peer's key is our key of connection " + k.Elsewhere
		default:
			return NearOther, "the peer's key is one that we have for others, and not for it"
		}
	}
	return "", fmt.Sprintf("the sides have different pre-shared keys, and the peer's is none of %d near misses of ours; or they have not the same view of the first messages and identities",
		len(list)+tried)
}

// NearOther is the kind of a near miss that is a key for somebody else.
const NearOther = "other-connection"

func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// macText shows enough of a MAC to tell two apart and too little to use it.
func macText(mac []byte) string {
	if len(mac) > 4 {
		return fmt.Sprintf("%d octets, %x...", len(mac), mac[:4])
	}
	return fmt.Sprintf("%d octets", len(mac))
}

// Hashes announces nothing: a shared key needs no signature.
func (ks SharedKeys) Hashes() []wire.HashAlgorithm { return nil }

// Authorities requests no certificate.
func (ks SharedKeys) Authorities() [][]byte { return nil }
