package native

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// TestVariantsDifferInOneThingAndAreFew holds which other ways to authenticate
// a policy has.
func TestVariantsDifferInOneThingAndAreFew(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const key = "a key of the tests"
	write("psk", key+"\n")
	p, findings, err := policy.Load(t.Context(), write("a.yaml", `version: 1
node: {identity: a.example, addresses: 192.0.2.1}
peers:
  b: {addresses: 192.0.2.2, identity: b.example, auth: psk, psk: {file: psk}}
tunnels:
  lan: {peer: b, local: 10.1.0.1/32, remote: 10.2.0.1/32}
`), policy.Options{})
	if p == nil {
		t.Fatal(findings, err)
	}
	list, err := Variants(t.Context(), p, &p.Connections[0], nil, netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds, says []string
	for _, v := range list {
		if !slices.Contains(kinds, v.Kind) {
			kinds = append(kinds, v.Kind)
		}
		says = append(says, v.Says)
		if strings.Contains(v.Says, key) {
			t.Errorf("%q shows the key", v.Says)
		}
	}
	want := []string{VariantIDr, VariantPSK, VariantIDType, VariantID, VariantEAP, VariantFirst}
	if !slices.Equal(kinds, want) || len(list) > 60 {
		t.Errorf("%d variants of %v, want %v", len(list), kinds, want)
	}
	slices.Sort(says)
	if n := len(slices.Compact(slices.Clone(says))); n != len(list) {
		t.Errorf("%d variants, %d of them distinct: %v", len(list), n, says)
	}
	for _, one := range []string{"our identity a.example as ID_KEY_ID", "our identity 192.0.2.1 as ID_IPV4_ADDR", "without asking for the peer's identity b.example", "our key in double quotes"} {
		if !slices.Contains(says, one) {
			t.Errorf("%q is missing", one)
		}
	}
}
