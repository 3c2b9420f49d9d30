package auth

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func idOf(t *testing.T, s string) wire.ID {
	t.Helper()
	id, err := ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// sharing is what a peer with a shared key has to prove.
func sharing(t *testing.T, id string) *Statement {
	t.Helper()
	prf, err := suite.NewPRF(wire.PRFHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	return &Statement{Prover: idOf(t, id), Verifier: idOf(t, "peer.example"), PRF: prf, Signed: []byte("what both sides have seen")}
}

func TestSharedKeyNeverStandsInChecks(t *testing.T) {
	key := "a rather secret key"
	ks := SharedKeys{{Key: suite.NewSecret([]byte(key))}}
	s := sharing(t, "gate.example")
	proof, err := ks.Prove(s)
	if err != nil {
		t.Fatal(err)
	}
	v := ks.Verify(s, proof, time.Time{})
	if v.Err != nil || len(v.Checks) != 2 {
		t.Fatalf("verdict %v with %d checks", v.Err, len(v.Checks))
	}
	text := fmt.Sprintf("%+v %v", v.Checks, ks)
	if strings.Contains(text, key) || strings.Contains(text, fmt.Sprintf("%x", proof.Auth.Data)) {
		t.Errorf("the checks show a secret: %s", text)
	}
}

func TestSharedKeyIsChosenByWhoSharesIt(t *testing.T) {
	key := func(s string) suite.Secret { return suite.NewSecret([]byte(s)) }
	ks := SharedKeys{
		{Key: key("any")},
		{Owners: []wire.ID{idOf(t, "a.example")}, Key: key("a")},
		{Owners: []wire.ID{idOf(t, "a.example"), idOf(t, "b.example")}, Key: key("ab")},
		{Owners: []wire.ID{idOf(t, "a.example"), idOf(t, "b.example")}, Key: key("ab again")},
	}
	for _, row := range []struct{ a, b, want string }{
		{"a.example", "b.example", "ab"}, {"B.EXAMPLE", "A.example", "ab"}, {"a.example", "c.example", "a"}, {"c.example", "d.example", "any"},
	} {
		a, b := idOf(t, row.a), idOf(t, row.b)
		if k := ks.find(&a, &b); k == nil || !k.Key.Equal(key(row.want)) {
			t.Errorf("%s with %s: not the key %q", row.a, row.b, row.want)
		}
	}
	a, b := idOf(t, "x.example"), idOf(t, "y.example")
	if ks[1:].find(&a, &b) != nil {
		t.Error("strangers share a key")
	}
}

func TestSharedKeyRefusalSaysWhy(t *testing.T) {
	ours := SharedKeys{{Owners: []wire.ID{idOf(t, "gate.example")}, Key: suite.NewSecret([]byte("ours"))}}
	theirs := SharedKeys{{Key: suite.NewSecret([]byte("theirs"))}}
	s := sharing(t, "gate.example")
	proof, err := theirs.Prove(s)
	if err != nil {
		t.Fatal(err)
	}
	stranger := sharing(t, "stranger.example")
	other := *proof
	other.Auth.Method = wire.AuthDigitalSignature
	for _, row := range []struct {
		name  string
		s     *Statement
		p     *Proof
		keys  SharedKeys
		kind  event.CheckKind
		words string
	}{
		{"different keys", s, proof, ours, event.CheckMAC, "different pre-shared keys"},
		{"no key for the peer", stranger, proof, ours, event.CheckMAC, "keys of gate.example"},
		{"no keys at all", s, proof, nil, event.CheckMAC, "no keys"},
		{"another method", s, &other, ours, event.CheckMethod, "DIGITAL_SIGNATURE"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := row.keys.Verify(row.s, row.p, time.Time{})
			if v.Err == nil || v.Err.Kind != row.kind || !strings.Contains(strings.ToUpper(strings.ReplaceAll(v.Err.Error(), " ", "_")), strings.ToUpper(strings.ReplaceAll(row.words, " ", "_"))) {
				t.Errorf("verdict %v, want a failed %s with %q", v.Err, row.kind, row.words)
			}
			explained(t, v)
		})
	}
	if _, err := ours.Prove(stranger); err == nil || !strings.Contains(err.Error(), "no pre-shared key for stranger.example") {
		t.Errorf("error %v", err)
	}
	if ours.Hashes() != nil || ours.Authorities() != nil {
		t.Error("shared keys announce signatures")
	}
}

func TestIdentitiesAreReadAsSwanctlWritesThem(t *testing.T) {
	for _, row := range []struct {
		text string
		typ  wire.IDType
		back string // "" where it is the text itself
	}{
		{"192.0.2.1", wire.IDIPv4Addr, ""},
		{"2001:db8::1", wire.IDIPv6Addr, ""},
		{"gate.example", wire.IDFQDN, ""},
		{"@gate.example", wire.IDFQDN, "gate.example"},
		{"admin@gate.example", wire.IDRFC822Addr, ""},
		{"@#0a0b", wire.IDKeyID, "0a0b"},
		{`C=CH, O=Example\, Inc, CN=gate`, wire.IDDERASN1DN, ""},
	} {
		id, err := ParseID(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if id.Type != row.typ {
			t.Errorf("%s: type %s, want %s", row.text, id.Type, row.typ)
		}
		if want := row.back; want != "" && id.String() != want {
			t.Errorf("%s: printed as %s, want %s", row.text, id.String(), want)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", maxID+1), "@#0g", "@#", "CN=", "XX=a", "CN=a, b", strings.Repeat("CN=a,", maxRDNs) + "CN=a"} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("%.40q was read as %s", bad, id.String())
		}
	}
}

func TestPatternsTakeWhomTheyName(t *testing.T) {
	for _, row := range []struct {
		pattern, id string
		want        bool
	}{
		{"%any", "gate.example", true}, {"", "192.0.2.1", true},
		{"gate.example", "GATE.example", true}, {"gate.example", "gate2.example", false},
		{"*.example", "gate.example", true}, {"*.example", "example", false}, {"*.example", "gate@x.example", false},
		{"*@example", "admin@example", true}, {"*@example", "admin@other", false}, {"*.example", ".example", false},
		{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "@192.0.2.1", false},
		{"C=CH, CN=gate", "C=ch, CN=GATE", true}, {"C=CH, CN=gate", "CN=gate", false}, {"C=CH, CN=gate", "C=CH, O=gate", false},
	} {
		p, err := ParsePattern(row.pattern)
		if err != nil {
			t.Fatal(err)
		}
		id := idOf(t, row.id)
		if p.Match(&id) != row.want {
			t.Errorf("%q takes %q: %v, want %v", row.pattern, row.id, !row.want, row.want)
		}
		if p.String() == "" {
			t.Errorf("pattern %q has no text", row.pattern)
		}
	}
	exact := Exactly(idOf(t, "gate.example"))
	if id, ok := exact.ID(); !ok || id.Type != wire.IDFQDN {
		t.Error("an exact pattern does not give its identity")
	}
	if _, err := ParsePattern("@#x"); err == nil {
		t.Error("a malformed pattern was read")
	}
}

func TestMalformedNamesAreNobody(t *testing.T) {
	good := idOf(t, "C=CH, CN=gate").Data
	for n := range good {
		if sameDN(good[:n], good) {
			t.Errorf("a name cut at %d is the whole one", n)
		}
	}
	if _, ok := parseDN(bytes.Repeat([]byte{0x30}, 17*maxID)); ok {
		t.Error("a name of any length is read")
	}
}
