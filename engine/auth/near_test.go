package auth

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// verifyOurs gives the verdict of a side with our keys on a peer that has another.
func verifyOurs(t *testing.T, ours SharedKeys, theirs string) *Verdict {
	t.Helper()
	s := sharing(t, "gate.example")
	p := &Proof{Auth: wire.Auth{Method: wire.AuthSharedKey, Data: s.PRF.SharedKeyAuth(suite.NewSecret([]byte(theirs)), s.Signed)}}
	return ours.Verify(s, p, time.Time{})
}

func TestANearMissOfTheKeyIsNamedAndNeverAccepted(t *testing.T) {
	for _, row := range []struct{ ours, theirs, id string }{
		{"correct horse", "correct horse\n", "trailing-lf"},
		{"correct horse", "correct horse\r\n", "trailing-crlf"},
		{"correct horse\n", "correct horse", "without-line-end"},
		{"correct horse", `"correct horse"`, "double-quoted"},
		{"correct horse", `'correct horse'`, "single-quoted"},
		{`"correct horse"`, "correct horse", "unquoted"},
		{"correct horse", "correct horse ", "trailing-blank"},
		{"correct horse", " correct horse", "leading-blank"},
		{" correct horse ", "correct horse", "trimmed"},
		{"  correct horse", "correct horse", "trimmed"},
		{" correct horse ", "correct horse ", "without-leading-blanks"},
		{" correct horse ", " correct horse", "without-trailing-blanks"},
		{"0xc0ffee00", "\xc0\xff\xee\x00", "hex-decoded"},
		{"c0ffee00", "\xc0\xff\xee\x00", "hex-decoded"},
		{"\xc0\xff\xee\x00", "0xc0ffee00", "hex-encoded-0x"},
		{"c0ffee00", "0xc0ffee00", "with-0x"},
		{"0xc0ffee00", "c0ffee00", "without-0x"},
		{"0swP/uAA==", "\xc0\xff\xee\x00", "base64-decoded"},
		{"wP/uAA", "\xc0\xff\xee\x00", "base64-decoded"},
		{"\xc0\xff\xee\x00", "0swP/uAA==", "base64-encoded-0s"},
		{"\xc0\xff\xee\x00", "wP/uAA==", "base64-encoded"},
		{"schlüssel", "schl\xfcssel", "latin-1"},
		{"schl\xfcssel", "schlüssel", "utf-8"},
		{"schlüssel", "schlÃ¼ssel", "utf-8"},
		{"key", "k\x00e\x00y\x00", "utf-16le"},
		{"key", "\xfe\xff\x00k\x00e\x00y", "utf-16be-bom"},
		{"k\x00e\x00y\x00", "key", "from-utf-16le"},
		{"key", "\ufeffkey", "with-bom"},
		{"\ufeffkey", "key", "without-bom"},
		{"Correct Horse", "correct horse", "lower-case"},
		{"correct horse", "Correct horse", "first-capital"},
		{"cORRECT", "Correct", "swapped-case"},
		{"correct horse", "\"correct horse\"\n", "quoted-lf"},
		{"correct #horse", "correct", "cut-at-hash"},
		{"correct horse", "correct", "cut-at-blank"},
		{"pa$$word", "pa$", "cut-at-dollar"},
		{"pa$wd1x", "pa", "cut-at-dollar"},
		{`a\b`, "ab", "without-backslashes"},
		{"a&b", "a&amp;b", "escaped"},
		{strings.Repeat("x", 70), strings.Repeat("x", 64), "cut-to-64"},
		{"key", "keykey", "twice"},
		{"correct horse", "", "empty"},
		{"correct horse", "battery staple", ""},
	} {
		t.Run(fmt.Sprintf("%q and %q", row.ours, row.theirs), func(t *testing.T) {
			v := verifyOurs(t, SharedKeys{{Key: suite.NewSecret([]byte(row.ours))}}, row.theirs)
			if v.Err == nil {
				t.Fatal("another key was accepted")
			}
			c := v.Checks[len(v.Checks)-1]
			if c.OK || c.Near != row.id {
				t.Errorf("near %q (%s), want %q", c.Near, c.Why, row.id)
			}
			for _, secret := range []string{row.ours, row.theirs, hex.EncodeToString([]byte(row.ours))} {
				if text := fmt.Sprintf("%+v %v", v.Checks, v.Err); len(secret) > 4 && strings.Contains(text, secret) {
					t.Errorf("the verdict shows a secret: %s", text)
				}
			}
		})
	}
}

func TestAKeyOfAnotherConnectionIsNamedAndNeverUsed(t *testing.T) {
	ours := SharedKeys{
		{Owners: []wire.ID{idOf(t, "gate.example")}, Key: suite.NewSecret([]byte("for the gate"))},
		{Owners: []wire.ID{idOf(t, "other.example")}, Key: suite.NewSecret([]byte("for another"))},
		{Key: suite.NewSecret([]byte("for the branch")), Elsewhere: "branch"},
	}
	for _, row := range []struct{ theirs, words string }{
		{"for another", "one that we have for others"}, {"for the branch", "our key of connection branch"},
	} {
		v := verifyOurs(t, ours, row.theirs)
		c := v.Checks[len(v.Checks)-1]
		if v.Err == nil || c.Near != NearOther || !strings.Contains(c.Why, row.words) {
			t.Errorf("%s: near %q: %s", row.theirs, c.Near, c.Why)
		}
	}
	only := ours[2:]
	if v := verifyOurs(t, only, "for the branch"); v.Err == nil || !strings.Contains(v.Err.What, "no keys") {
		t.Errorf("a key for another connection serves: %v", v.Err)
	}
	if _, err := only.Prove(sharing(t, "gate.example")); err == nil {
		t.Error("a key for another connection proves")
	}
}

func TestNearMissesAreFewAndDistinct(t *testing.T) {
	for _, key := range []string{"", "a", `"0x0a0b"` + "\r\n", "schlüssel $HOME \\ # ;", "\xff\xfe\xfd", strings.Repeat("aB3 ", 1024), strings.Repeat("x", maxNearKey+1)} {
		k := suite.NewSecret([]byte(key))
		list := NearMisses(k)
		if len(list) > len(respellings) || len(key) > maxNearKey && len(list) > 0 {
			t.Errorf("%d near misses of a key of %d octets", len(list), len(key))
		}
		for i := range list {
			if list[i].Key.Equal(k) {
				t.Errorf("%q: %s is the key itself", key, list[i].ID)
			}
			for j := range list[:i] {
				if list[j].Key.Equal(list[i].Key) {
					t.Errorf("%q: %s and %s are one", key, list[j].ID, list[i].ID)
				}
			}
		}
	}
}
