package native_test

import (
	"errors"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/native"
)

// TestVariantsOfACertificateAreTakenOrRefusedByThePeer tries every other way
// to authenticate of a connection with a certificate on a peer that wants that
// certificate, by RFC 7427 or older.
func TestVariantsOfACertificateAreTakenOrRefusedByThePeer(t *testing.T) {
	root := newRoot(t)
	pa, pb := newParty(t, root, "a.example"), newParty(t, root, "b.example")
	b := start(t, certPolicy(t, pb, "identity: b.example, ", "a.example", 0, ""), nil)
	p := certPolicy(t, pa, "identity: a.example, ", "b.example", b.LocalAddr().Port(), "")
	others := loadPolicy(t, policyOf("a", "c", 500, "none"), "lab only").Connections
	list, err := native.Variants(limited(t), p, &p.Connections[0], others, b.LocalAddr().Addr())
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, p, func(o *native.Options) { o.Variants = list })
	taken := map[string]bool{
		native.VariantIDr: true, native.VariantSignature: true, native.VariantFirst: true,
		native.VariantID: false, native.VariantMethod: false, native.VariantEAP: false, native.VariantCerts: false,
	}
	tried := map[string]bool{}
	for _, v := range list {
		want, known := taken[v.Kind]
		if !known {
			t.Errorf("%s: a kind %q of a certificate", v.Says, v.Kind)
		}
		tried[v.Kind] = true
		at := backend.Target{IKE: v.Name, Child: "net"}
		err := a.Up(limited(t), at, backend.UpOptions{}, nil)
		if (err == nil) != want || err != nil && !errors.Is(err, backend.ErrRefused) {
			t.Errorf("%s: %v, taken is to be %t", v.Says, err, want)
		}
		if err == nil {
			if err := a.Down(limited(t), at, backend.DownOptions{}, nil); err != nil {
				t.Errorf("%s: %v", v.Says, err)
			}
		}
	}
	for kind := range taken {
		if !tried[kind] {
			t.Errorf("no variant of kind %s", kind)
		}
	}
}
