package wire

import (
	"strconv"
	"strings"
	"testing"
)

func TestProposalsInWordsBecomeTransformsAndWordsAgain(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol ProtocolID
		in       string
		want     string // names of transforms
		out      string // formatted again, "" for in
	}{
		{"AEAD for IKE", ProtocolIKE, "aes256gcm16-prfsha256-ecp256", "AES_GCM_16/256 PRF_HMAC_SHA2_256 ECP_256", ""},
		{"PRF follows integrity", ProtocolIKE, "aes128-sha256-modp2048",
			"AES_CBC/128 PRF_HMAC_SHA2_256 HMAC_SHA2_256_128 MODP_2048", ""},
		{"PRF by name", ProtocolIKE, "aes128-sha256-prfsha512-modp2048",
			"AES_CBC/128 PRF_HMAC_SHA2_512 HMAC_SHA2_256_128 MODP_2048", ""},
		{"integrity stands for the PRF of an AEAD", ProtocolIKE, "aes256gcm16-sha384-ecp384",
			"AES_GCM_16/256 PRF_HMAC_SHA2_384 ECP_384", "aes256gcm16-prfsha384-ecp384"},
		{"second names", ProtocolIKE, "AES256GCM128-prfsha256-x25519",
			"AES_GCM_16/256 PRF_HMAC_SHA2_256 CURVE_25519", "aes256gcm16-prfsha256-curve25519"},
		{"several of each", ProtocolIKE, "aes256-aes128-sha256-sha1-ecp256-modp1024",
			"AES_CBC/256 AES_CBC/128 PRF_HMAC_SHA2_256 PRF_HMAC_SHA1 HMAC_SHA2_256_128 HMAC_SHA1_96 ECP_256 MODP_1024", ""},
		{"no key length", ProtocolIKE, "chacha20poly1305-prfsha256-curve25519",
			"CHACHA20_POLY1305 PRF_HMAC_SHA2_256 CURVE_25519", ""},
		{"3DES", ProtocolIKE, "3des-sha1-modp1024", "3DES PRF_HMAC_SHA1 HMAC_SHA1_96 MODP_1024", ""},
		{"additional key exchange", ProtocolIKE, "aes256gcm16-prfsha384-x25519-ke1_mlkem768",
			"AES_GCM_16/256 PRF_HMAC_SHA2_384 CURVE_25519 ML_KEM_768", "aes256gcm16-prfsha384-curve25519-ke1_mlkem768"},
		{"ESP", ProtocolESP, "aes256gcm16-ecp256-esn", "AES_GCM_16/256 ECP_256 EXT_SEQ", ""},
		{"ESP without word on sequence numbers", ProtocolESP, "aes256gcm16", "AES_GCM_16/256 NO_EXT_SEQ", ""},
		{"ESP with both", ProtocolESP, "aes128-sha256-esn-noesn", "AES_CBC/128 HMAC_SHA2_256_128 EXT_SEQ NO_EXT_SEQ", ""},
		{"ESP NULL", ProtocolESP, "null-sha256", "NULL HMAC_SHA2_256_128 NO_EXT_SEQ", ""},
		{"AH", ProtocolAH, "sha256", "HMAC_SHA2_256_128 NO_EXT_SEQ", ""},
		{"short for 128 bits", ProtocolESP, "aes-sha1", "AES_CBC/128 HMAC_SHA1_96 NO_EXT_SEQ", "aes128-sha1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts, err := ParseProposal(c.protocol, c.in)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for i := range ts {
				n := ts[i].Name()
				if b := ts[i].KeyLength(); b != 0 {
					n += "/" + strconv.Itoa(b)
				}
				names = append(names, n)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("transforms %q, want %q", got, c.want)
			}
			out := c.out
			if out == "" {
				out = c.in
			}
			if got := FormatProposal(c.protocol, ts); got != out {
				t.Errorf("formatted %q, want %q", got, out)
			}
		})
	}
}

func TestProposalsThatCannotStandAreRefusedWithTheirReason(t *testing.T) {
	for _, c := range []struct {
		protocol ProtocolID
		in, want string
	}{
		{ProtocolIKE, "", `unknown algorithm ""`},
		{ProtocolIKE, "aes257-sha1-modp2048", `unknown algorithm "aes257"`},
		{ProtocolIKE, "aes256-modp2048", "no integrity algorithm"},
		{ProtocolIKE, "aes256gcm16-modp2048", "no pseudorandom function"},
		{ProtocolIKE, "aes256-sha256", "no key exchange method"},
		{ProtocolIKE, "sha256-modp2048", "no encryption algorithm"},
		{ProtocolIKE, "aes256-aes256gcm16-sha256-modp2048", "proposals of their own"},
		{ProtocolIKE, "aes256-sha256-modp2048-esn", `"esn" does not belong`},
		{ProtocolESP, "aes256-sha256-prfsha256", `"prfsha256" does not belong`},
		{ProtocolESP, "aes256gcm16-sha256", "beside encryption that brings its own"},
		{ProtocolAH, "aes256-sha256", `"aes256" does not belong`},
		{ProtocolNone, "aes256", "NONE has no proposals"},
		{ProtocolIKE, strings.Repeat("aes256-", 80) + "aes256", "at most 64"},
	} {
		if _, err := ParseProposal(c.protocol, c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: error %v, want %q", c.protocol, c.in, err, c.want)
		}
	}
}

func TestEveryKeywordNamesATransformThatNamesItBack(t *testing.T) {
	canonical := 0
	for _, k := range keywords().list {
		tr, ok := ParseKeyword(k.text)
		if !ok || tr.Type != k.typ || tr.ID != k.id {
			t.Errorf("%s gives %+v", k.text, tr)
			continue
		}
		back, ok := ParseKeyword(tr.Keyword())
		if !ok || back.Type != tr.Type || back.ID != tr.ID || back.KeyLength() != tr.KeyLength() {
			t.Errorf("%s is %s, which is %+v, not %+v", k.text, tr.Keyword(), back, tr)
		}
		if tr.Keyword() == k.text {
			canonical++
		}
		if strings.HasPrefix(tr.Name(), "UNKNOWN") {
			t.Errorf("%s has no name", k.text)
		}
	}
	if canonical < 100 {
		t.Errorf("only %d keywords come back", canonical)
	}
}
