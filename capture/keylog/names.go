package keylog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// algorithm is one algorithm by its name in a table.
type algorithm struct {
	name string
	id   uint16
	bits int  // key length; 0 where the algorithm has one only, or the key itself tells
	ours bool // Wireshark 4.0 has no such name and refuses the row
}

// encrTwofish is the number that SSH Communications' products use; Wireshark
// names Twofish, IANA does not.
const encrTwofish = 65289

var ikev2Encr = append(sizedIKEv2(),
	algorithm{name: "3DES [RFC2451]", id: wire.Encr3DES},
	algorithm{name: "NULL [RFC2410]", id: wire.EncrNull},
	algorithm{name: "ChaCha20 with Poly1305 [RFC7634]", id: wire.EncrChaCha20Poly1305, ours: true},
)

func sizedIKEv2() []algorithm {
	var list []algorithm
	for _, bits := range []int{128, 192, 256} {
		list = append(list,
			algorithm{name: fmt.Sprintf("AES-CBC-%d [RFC3602]", bits), id: wire.EncrAESCBC, bits: bits},
			algorithm{name: fmt.Sprintf("AES-CTR-%d [RFC5930]", bits), id: wire.EncrAESCTR, bits: bits})
		for i, icv := range []int{8, 12, 16} {
			list = append(list,
				algorithm{name: fmt.Sprintf("AES-GCM-%d with %d octet ICV [RFC5282]", bits, icv), id: wire.EncrAESGCM8 + uint16(i), bits: bits},
				algorithm{name: fmt.Sprintf("AES-CCM-%d with %d octet ICV [RFC5282]", bits, icv), id: wire.EncrAESCCM8 + uint16(i), bits: bits})
		}
	}
	return list
}

var ikev2Integ = []algorithm{
	{name: "NONE [RFC4306]", id: wire.IntegNone},
	{name: "HMAC_MD5_96 [RFC2403]", id: wire.IntegMD5_96},
	{name: "HMAC_SHA1_96 [RFC2404]", id: wire.IntegSHA1_96},
	{name: "HMAC_MD5_128 [RFC4595]", id: wire.IntegMD5_128},
	{name: "HMAC_SHA1_160 [RFC4595]", id: wire.IntegSHA1_160},
	{name: "HMAC_SHA2_256_96 [draft-ietf-ipsec-ciph-sha-256-00]", id: suite.IntegSHA256_96},
	{name: "HMAC_SHA2_256_128 [RFC4868]", id: wire.IntegSHA256128},
	{name: "HMAC_SHA2_384_192 [RFC4868]", id: wire.IntegSHA384192},
	{name: "HMAC_SHA2_512_256 [RFC4868]", id: wire.IntegSHA512256},
	{name: "ANY 64-bits of Authentication [No Checking]", id: suite.IntegUnchecked + 8},
	{name: "ANY 96-bits of Authentication [No Checking]", id: suite.IntegUnchecked + 12},
	{name: "ANY 128-bits of Authentication [No Checking]", id: suite.IntegUnchecked + 16},
	{name: "ANY 160-bits of Authentication [No Checking]", id: suite.IntegUnchecked + 20},
	{name: "ANY 192-bits of Authentication [No Checking]", id: suite.IntegUnchecked + 24},
	{name: "ANY 256-bits of Authentication [No Checking]", id: suite.IntegUnchecked + 32},
	{name: "AES_XCBC_96 [RFC3566]", id: wire.IntegAESXCBC96, ours: true},
	{name: "AES_CMAC_96 [RFC4494]", id: wire.IntegAESCMAC96, ours: true},
}

// gcmPlain is Wireshark's older name, which leaves the length of the ICV to
// the integrity column.
const gcmPlain = "AES-GCM [RFC4106]"

var espEncr = []algorithm{
	{name: "NULL", id: wire.EncrNull},
	{name: "TripleDES-CBC [RFC2451]", id: wire.Encr3DES},
	{name: "AES-CBC [RFC3602]", id: wire.EncrAESCBC},
	{name: "AES-CTR [RFC3686]", id: wire.EncrAESCTR},
	{name: "DES-CBC [RFC2405]", id: wire.EncrDES},
	{name: "CAST5-CBC [RFC2144]", id: wire.EncrCAST},
	{name: "BLOWFISH-CBC [RFC2451]", id: wire.EncrBlowfish},
	{name: "TWOFISH-CBC", id: encrTwofish},
	{name: "AES-GCM with 8 octet ICV [RFC4106]", id: wire.EncrAESGCM8},
	{name: "AES-GCM with 12 octet ICV [RFC4106]", id: wire.EncrAESGCM12},
	{name: "AES-GCM with 16 octet ICV [RFC4106]", id: wire.EncrAESGCM16},
	{name: gcmPlain, id: wire.EncrAESGCM16},
	{name: "AES-CCM with 8 octet ICV [RFC4309]", id: wire.EncrAESCCM8, ours: true},
	{name: "AES-CCM with 12 octet ICV [RFC4309]", id: wire.EncrAESCCM12, ours: true},
	{name: "AES-CCM with 16 octet ICV [RFC4309]", id: wire.EncrAESCCM16, ours: true},
	{name: "AES-GMAC [RFC4543]", id: wire.EncrNullAuthAESGMAC, ours: true},
	{name: "AES-GCM with IIV and 16 octet ICV [RFC4106 & RFC8750]", id: wire.EncrAESGCM16IIV, ours: true},
	{name: "ChaCha20 with Poly1305 [RFC7634]", id: wire.EncrChaCha20Poly1305, ours: true},
	{name: "ChaCha20 with Poly1305 and IIV [RFC7634 & RFC8750]", id: wire.EncrChaCha20Poly1305IIV, ours: true},
}

var espInteg = []algorithm{
	{name: "NULL", id: wire.IntegNone},
	{name: "HMAC-SHA-1-96 [RFC2404]", id: wire.IntegSHA1_96},
	{name: "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]", id: suite.IntegSHA256_96},
	{name: "HMAC-SHA-256-128 [RFC4868]", id: wire.IntegSHA256128},
	{name: "HMAC-SHA-384-192 [RFC4868]", id: wire.IntegSHA384192},
	{name: "HMAC-SHA-512-256 [RFC4868]", id: wire.IntegSHA512256},
	{name: "HMAC-MD5-96 [RFC2403]", id: wire.IntegMD5_96},
	{name: "ANY 64 bit authentication [no checking]", id: suite.IntegUnchecked + 8},
	// It stands in front of RIPEMD, which has no checking here either, so that
	// Write says what is true.
	{name: "ANY 96 bit authentication [no checking]", id: suite.IntegUnchecked + 12},
	{name: "MAC-RIPEMD-160-96 [RFC2857]", id: suite.IntegUnchecked + 12},
	{name: "ANY 128 bit authentication [no checking]", id: suite.IntegUnchecked + 16},
	{name: "ANY 192 bit authentication [no checking]", id: suite.IntegUnchecked + 24},
	{name: "ANY 256 bit authentication [no checking]", id: suite.IntegUnchecked + 32},
	{name: "AES-XCBC-MAC-96 [RFC3566]", id: wire.IntegAESXCBC96, ours: true},
	{name: "AES-CMAC-96 [RFC4494]", id: wire.IntegAESCMAC96, ours: true},
}

// named finds an algorithm by name. Case, punctuation and the reference in
// brackets do not matter.
func named(list []algorithm, what, name string) (algorithm, error) {
	want := plain(name)
	for _, a := range list {
		if plain(a.name) == want {
			return a, nil
		}
	}
	if strings.Contains(want, "CHACHA20") && !strings.Contains(want, "IIV") {
		for _, a := range list {
			if a.id == wire.EncrChaCha20Poly1305 {
				return a, nil
			}
		}
	}
	var all []string
	for _, a := range list {
		all = append(all, `"`+a.name+`"`)
	}
	return algorithm{}, fmt.Errorf("unknown %s algorithm %s; known are %s", what, shown(name), strings.Join(all, ", "))
}

// shown quotes a field for an error. A key that stands in the wrong column is
// not shown: nothing else has so many hexadecimal digits in a row.
func shown(s string) string {
	run := 0
	for i := range len(s) {
		if _, ok := hexOctet('0', s[i]); !ok {
			run = 0
		} else if run++; run == 20 {
			return fmt.Sprintf("[%d characters]", len(s))
		}
	}
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return strconv.Quote(s)
}

// plain reduces a name to its letters and digits in front of the bracket.
func plain(name string) string {
	name, _, _ = strings.Cut(name, "[")
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// byID finds the name to write.
func byID(list []algorithm, what string, id uint16, bits int) (algorithm, error) {
	for _, a := range list {
		if a.id == id && (a.bits == 0 || a.bits == bits) {
			return a, nil
		}
	}
	return algorithm{}, fmt.Errorf("no table has a name for %s algorithm %d with a key of %d bits", what, id, bits)
}
