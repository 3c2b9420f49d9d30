package grade

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// verdict is what a profile says of an algorithm.
type verdict struct {
	profile, keyword string
	want             Level
}

// graded holds what profiles say, by one of their methods, against verdicts.
func graded(t *testing.T, of func(*Profile, wire.TransformType, uint16, int) Grade, rows []verdict) {
	t.Helper()
	for _, r := range rows {
		tr, ok := wire.ParseKeyword(r.keyword)
		if !ok {
			t.Fatalf("keyword %s", r.keyword)
		}
		p, err := Named(r.profile)
		if err != nil {
			t.Fatal(err)
		}
		if g := of(p, tr.Type, tr.ID, tr.KeyLength()); g.Level != r.want || g.Why == "" {
			t.Errorf("%s of %s: %s (%s), want %s", r.profile, r.keyword, g.Level, g.Why, r.want)
		}
	}
}

func TestProfilesGradeAsTheirSourcesSay(t *testing.T) {
	rows := []verdict{
		{"rfc", "aes256", Good}, {"rfc", "aes192", Allowed}, {"rfc", "aes256gcm16", Good}, {"rfc", "aes128ccm8", Good}, {"rfc", "aes256ccm8", Allowed},
		{"rfc", "3des", Weak}, {"rfc", "des", Forbidden}, {"rfc", "null", Forbidden}, {"rfc", "blowfish128", Forbidden},
		{"rfc", "prfsha256", Good}, {"rfc", "prfsha1", Weak}, {"rfc", "prfmd5", Forbidden},
		{"rfc", "sha256", Good}, {"rfc", "sha1", Weak}, {"rfc", "md5", Forbidden}, {"rfc", "sha1_160", Forbidden},
		{"rfc", "modp2048", Good}, {"rfc", "modp1024", Weak}, {"rfc", "modp1536", Weak}, {"rfc", "modp768", Forbidden}, {"rfc", "modp1024s160", Forbidden},
		{"rfc", "modp2048s256", Weak}, {"rfc", "ecp256", Good}, {"rfc", "curve25519", Good},
		{"cnsa1", "aes256gcm16", Good}, {"cnsa1", "aes128gcm16", Forbidden}, {"cnsa1", "prfsha384", Good}, {"cnsa1", "ecp384", Good}, {"cnsa1", "ecp256", Forbidden}, {"cnsa1", "modp3072", Allowed},
		{"cnsa2", "aes256gcm16", Good}, {"cnsa2", "mlkem1024", Good}, {"cnsa2", "ecp384", Allowed}, {"cnsa2", "ke1_mlkem1024", Good}, {"cnsa2", "ke1_mlkem768", Forbidden},
		{"nist", "aes128", Good}, {"nist", "chacha20poly1305", Forbidden}, {"nist", "curve25519", Forbidden}, {"nist", "modp1024", Forbidden}, {"nist", "ecp256", Good}, {"nist", "sha1", Weak},
	}
	graded(t, (*Profile).Of, rows)
}

func TestAnAlgorithmThatAProfileDoesNotNameIsUnnamed(t *testing.T) {
	if g := Profiles[0].Of(wire.TransformEncr, 60000, 0); g.Level != Unnamed {
		t.Errorf("a private algorithm is %s", g.Level)
	}
	if g := Profiles[1].Of(wire.TransformESN, 1, 0); g.Level != Unnamed {
		t.Errorf("sequence numbers are %s", g.Level)
	}
	if _, err := Named("none"); err == nil {
		t.Error("a profile that is not there was found")
	}
}

func TestProfilesGradeESPAsTheirSourcesSay(t *testing.T) {
	graded(t, (*Profile).OfESP, []verdict{
		{"rfc", "aes128gcm16", Good}, {"rfc", "aes192", Allowed}, {"rfc", "chacha20poly1305", Good}, {"rfc", "aes128ccm8", Allowed}, {"rfc", "3des", Weak},
		{"rfc", "null", Weak}, {"rfc", "des", Forbidden}, {"rfc", "sha256", Good}, {"rfc", "sha1", Weak}, {"rfc", "md5", Forbidden},
		{"cnsa1", "aes256gcm16", Good}, {"cnsa1", "aes256", Forbidden}, {"cnsa2", "aes256gcm16", Good}, {"cnsa2", "aes128gcm16", Forbidden},
		{"nist", "aes128", Good}, {"nist", "null", Forbidden}, {"nist", "chacha20poly1305", Forbidden}, {"nist", "sha1", Weak},
	})
	if g := Profiles[0].OfESP(wire.TransformEncr, 60000, 0); g.Level != Unnamed {
		t.Errorf("a private algorithm is %s", g.Level)
	}
}

func TestTheSuiteOfAProfileIsWithinIt(t *testing.T) {
	for _, p := range Profiles {
		ts, err := wire.ParseProposal(wire.ProtocolIKE, p.Suite)
		if err != nil || len(ts) < 3 {
			t.Errorf("%s: %q: %v", p.Name, p.Suite, err)
		}
		for i := range ts {
			if g := p.Of(ts[i].Type, ts[i].ID, ts[i].KeyLength()); g.Level != Good && g.Level != Allowed {
				t.Errorf("%s: its suite has %s, which is %s", p.Name, ts[i].Keyword(), g.Level)
			}
		}
	}
}
