package vici

import (
	"testing"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestTheNamesThatOnlyCharonHasAreUnderstood(t *testing.T) {
	rows := []struct {
		encr, bits, integ string
		want              string
	}{
		{"3DES_CBC", "0", "HMAC_SHA1_96", "3des-sha1-modp1024"},
		{"NULL_AES_GMAC", "256", "", "aes256gmac-modp1024"},
		{"AES_CBC", "256", "HMAC_SHA2_256_128", "aes256-sha256-modp1024"},
	}
	for _, r := range rows {
		m := govici.NewMessage()
		for name, value := range map[string]string{"encr-alg": r.encr, "encr-keysize": r.bits, "integ-alg": r.integ, "dh-group": "MODP_1024"} {
			if err := m.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		if got := suite(section{m}, wire.ProtocolESP); got.Keyword != r.want || got.EncrID == 0 {
			t.Errorf("%s with %s is read as %q, number %d; want %q", r.encr, r.integ, got.Keyword, got.EncrID, r.want)
		}
	}
}
