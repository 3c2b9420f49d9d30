package interop_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
)

var (
	aeads = []string{"aes128gcm8", "aes192gcm8", "aes256gcm8", "aes128gcm12", "aes192gcm12", "aes256gcm12", "aes128gcm16", "aes192gcm16",
		"aes256gcm16", "aes128ccm8", "aes192ccm8", "aes256ccm8", "aes128ccm12", "aes192ccm12", "aes256ccm12", "aes128ccm16", "aes192ccm16",
		"aes256ccm16", "chacha20poly1305"}
	ciphers   = []string{"aes128", "aes192", "aes256", "aes128ctr", "aes192ctr", "aes256ctr", "3des"}
	integrity = []string{"sha1", "sha256", "sha384", "sha512"}
	prfs      = []string{"prfsha1", "prfsha256", "prfsha384", "prfsha512"}
	exchanges = []string{"ecp256", "ecp384", "ecp521", "curve25519", "modp1024", "modp1536", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192"}
	subgroups = []string{"modp1024s160", "modp2048s224", "modp2048s256"}
	everyday  = []string{ // what operators and clouds have in their files
		"aes256-sha256-modp2048 / aes256-sha256", "aes256-sha512-modp4096 / aes256-sha512-modp4096",
		"aes128-sha1-modp1024 / aes128-sha1", "3des-sha1-modp1024 / 3des-sha1",
		"aes256gcm16-prfsha384-ecp384 / aes256gcm16-ecp384", "aes128gcm16-prfsha256-ecp256 / aes128gcm16-ecp256",
		"chacha20poly1305-prfsha256-curve25519 / chacha20poly1305-curve25519", "aes256-sha384-ecp521 / aes256gcm16-ecp521",
		"aes256ctr-sha512-modp3072 / aes256ctr-sha512-modp3072", "aes128ccm12-prfsha256-modp3072 / aes128ccm12",
		"aes256-sha1-prfsha512-modp2048 / aes128-sha256-modp2048", "aes256gcm16-aes128gcm16-prfsha512-prfsha256-curve25519-ecp256 / aes256gcm16-aes128gcm16",
	}
)

// algorithm is one row of algorithms: the proposals of both SAs.
type algorithm struct {
	feature, ike, esp string
}

// rows gives every algorithm at least once, and the named combinations.
func rows() []algorithm {
	var list []algorithm
	add := func(feature, ike, esp string) { list = append(list, algorithm{feature, ike, esp}) }
	for _, a := range aeads {
		add("encryption: "+a, a+"-prfsha256-ecp256", suiteESP)
		add("ESP: "+a, suiteIKE, a+"-ecp256")
	}
	for _, c := range ciphers {
		add("encryption: "+c, c+"-sha256-ecp256", suiteESP)
		add("ESP: "+c, suiteIKE, c+"-sha256-ecp256")
	}
	for _, i := range integrity {
		add("integrity: "+i, "aes256-"+i+"-prfsha256-ecp256", suiteESP)
		add("ESP: "+i, suiteIKE, "aes256-"+i+"-ecp256")
	}
	add("ESP: null", suiteIKE, "null-sha256-ecp256")
	for _, p := range prfs {
		add("PRF: "+p, "aes256gcm16-"+p+"-ecp256", suiteESP)
	}
	for _, k := range slices.Concat(exchanges, subgroups) {
		add("key exchange: "+k, "aes256gcm16-prfsha256-"+k, "aes256gcm16-"+k)
	}
	for _, c := range everyday {
		ike, esp, _ := strings.Cut(c, " / ")
		add("combination: "+c, ike, esp)
	}
	return list
}

// representative are those that ordinary test runs try.
var representative = []string{"encryption: aes128gcm8", "encryption: aes192ccm12", "encryption: chacha20poly1305", "encryption: aes192ctr", "encryption: 3des",
	"integrity: sha384", "PRF: prfsha512", "key exchange: ecp521", "key exchange: curve25519", "key exchange: modp2048",
	"ESP: aes128ccm16", "ESP: aes256ctr", "ESP: sha512", "combination: aes256-sha256-modp2048 / aes256-sha256"}

func TestInteropEveryAlgorithmWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	for _, a := range rows() {
		if !interop.Full() && !slices.Contains(representative, a.feature) {
			continue
		}
		r.eachRole(t, a.feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("IKE %s, child %s", a.ike, a.esp)
			if a.feature == "ESP: null" {
				e.Detail("IKE %s, child %s, by name only", a.ike, a.esp)
			}
			tn := r.tunnel(t, role, settings{ike: a.ike, esp: a.esp})
			ours, _ := tn.up()
			if want := first(t, wire.ProtocolIKE, a.ike, true); ours.Suite.Keyword != want {
				t.Errorf("the IKE SA has %s, want %s", ours.Suite.Keyword, want)
			}
			if got, want := ours.Children[0].Suite.Keyword, first(t, wire.ProtocolESP, a.esp, false); got != want {
				t.Errorf("the child has %s, want %s", got, want)
			}
			// Rekeying makes new keys of the same kind, with PFS where there is a
			// group: ours and the peer's.
			rekeyed := tn.rekeyChild(interop.Initiator)
			if got, want := rekeyed.Children[0].Suite.Keyword, first(t, wire.ProtocolESP, a.esp, true); got != want {
				t.Errorf("the child that we rekeyed has %s, want %s", got, want)
			}
			tn.rekeyChild(interop.Responder)
			tn.rekeyIKE(role)
		})
	}
}

func TestInteropEveryCipherWithEveryIntegrityAndPRF(t *testing.T) {
	r := newRig(t, ground{})
	ciphers, aeads := ciphers, aeads
	if !interop.Full() {
		ciphers, aeads = ciphers[2:3], aeads[8:9]
	}
	for _, role := range interop.Roles() {
		for _, c := range ciphers {
			r.as(t, role, "combination: "+c+" with every integrity algorithm and PRF", func(t *testing.T, role interop.Role, e *interop.Entry) {
				e.Detail("%d proposals, group curve25519", len(integrity)*len(prfs))
				for _, i := range integrity {
					for _, p := range prfs {
						r.combination(t, role, fmt.Sprintf("%s-%s-%s-curve25519", c, i, p), c+"-"+i)
					}
				}
			})
		}
		for _, a := range aeads {
			r.as(t, role, "combination: "+a+" with every PRF", func(t *testing.T, role interop.Role, e *interop.Entry) {
				e.Detail("%d proposals, group curve25519", len(prfs))
				for _, p := range prfs {
					r.combination(t, role, fmt.Sprintf("%s-%s-curve25519", a, p), a)
				}
			})
		}
	}
}

// combination brings one tunnel up and down.
func (r *rig) combination(t *testing.T, role interop.Role, ike, esp string) {
	t.Run(ike, func(t *testing.T) {
		ours, _ := r.tunnel(t, role, settings{ike: ike, esp: esp}).up()
		if want := first(t, wire.ProtocolIKE, ike, true); ours.Suite.Keyword != want {
			t.Errorf("the IKE SA has %s, want %s", ours.Suite.Keyword, want)
		}
	})
}

// first gives the proposal that both sides come to, by the first of each kind
// of transform; a child of IKE_AUTH has no group.
func first(t *testing.T, p wire.ProtocolID, text string, group bool) string {
	t.Helper()
	var ts []wire.Transform
	for _, x := range proposals(t, p, text)[0] {
		if x.Type == wire.TransformKE && !group {
			continue
		}
		if !slices.ContainsFunc(ts, func(o wire.Transform) bool { return o.Type == x.Type }) {
			ts = append(ts, x)
		}
	}
	return wire.FormatProposal(p, ts)
}

// rekeyChild has us (Initiator) or the peer rekey the one child.
func (tn *tunnel) rekeyChild(who interop.Role) (ours *engine.IKESA) {
	tn.t.Helper()
	tn.childRekeyed(tn.by(who, "net"))
	ours, _ = tn.agree(1)
	return ours
}

// rekeyIKE has us (Initiator) or the peer rekey the IKE SA.
func (tn *tunnel) rekeyIKE(who interop.Role) (ours *engine.IKESA) {
	tn.t.Helper()
	n := len(tn.spis())
	tn.ikeRekeyed(tn.by(who, ""))
	ours, _ = tn.agree(n)
	return ours
}

// by gives what has the peer begin a rekeying, nil where we are to.
func (tn *tunnel) by(who interop.Role, child string) func() {
	if who == interop.Initiator {
		return nil
	}
	return func() { tn.peerRekeys(child) }
}
