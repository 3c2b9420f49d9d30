package wire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The keywords of swanctl's proposals, by transform type. The first keyword of
// a transform is the one that Keyword gives; the others are read as well.
type keyword struct {
	text string
	typ  TransformType
	id   uint16
	bits int // Key Length, 0 where the transform has none
}

// A named transform is what a keyword is looked up by.
type namedTransform struct {
	typ  TransformType
	id   uint16
	bits int // -1 for the keyword that serves where no Key Length is told
}

type keywordIndex struct {
	list        []keyword
	byText      map[string]keyword
	byTransform map[namedTransform]string
}

// Built on first use: most runs never need it.
var keywords = sync.OnceValue(func() keywordIndex {
	x := keywordIndex{list: buildKeywords(), byText: map[string]keyword{}, byTransform: map[namedTransform]string{}}
	first := func(k namedTransform, text string) {
		if x.byTransform[k] == "" {
			x.byTransform[k] = text
		}
	}
	for _, k := range x.list {
		x.byText[k.text] = k
		// "aes" and "blowfish" are short for 128 bits and no name for them.
		if k.text != "aes" && k.text != "blowfish" {
			first(namedTransform{k.typ, k.id, k.bits}, k.text)
		}
		first(namedTransform{k.typ, k.id, -1}, k.text)
	}
	return x
})

func buildKeywords() []keyword {
	ks := []keyword{
		{"chacha20poly1305", TransformEncr, EncrChaCha20Poly1305, 0},
		{"3des", TransformEncr, Encr3DES, 0},
		{"des", TransformEncr, EncrDES, 0},
		{"null", TransformEncr, EncrNull, 0},
		{"cast128", TransformEncr, EncrCAST, 128},
		{"aes", TransformEncr, EncrAESCBC, 128},
		{"blowfish", TransformEncr, EncrBlowfish, 128},

		{"prfmd5", TransformPRF, PRFHMACMD5, 0},
		{"prfsha1", TransformPRF, PRFHMACSHA1, 0},
		{"prfsha256", TransformPRF, PRFHMACSHA256, 0},
		{"prfsha384", TransformPRF, PRFHMACSHA384, 0},
		{"prfsha512", TransformPRF, PRFHMACSHA512, 0},
		{"prfaesxcbc", TransformPRF, PRFAES128XCBC, 0},
		{"prfaescmac", TransformPRF, PRFAES128CMAC, 0},

		{"md5", TransformInteg, IntegMD5_96, 0},
		{"sha1", TransformInteg, IntegSHA1_96, 0},
		{"sha", TransformInteg, IntegSHA1_96, 0},
		{"sha256", TransformInteg, IntegSHA256128, 0},
		{"sha2_256", TransformInteg, IntegSHA256128, 0},
		{"sha384", TransformInteg, IntegSHA384192, 0},
		{"sha2_384", TransformInteg, IntegSHA384192, 0},
		{"sha512", TransformInteg, IntegSHA512256, 0},
		{"sha2_512", TransformInteg, IntegSHA512256, 0},
		{"md5_128", TransformInteg, IntegMD5_128, 0},
		{"sha1_160", TransformInteg, IntegSHA1_160, 0},
		{"aesxcbc", TransformInteg, IntegAESXCBC96, 0},
		{"aescmac", TransformInteg, IntegAESCMAC96, 0},

		{"esn", TransformESN, ESNYes, 0},
		{"noesn", TransformESN, ESNNo, 0},
	}
	for _, bits := range []int{128, 192, 256} {
		aes, camellia := fmt.Sprintf("aes%d", bits), fmt.Sprintf("camellia%d", bits)
		ks = append(ks,
			keyword{aes, TransformEncr, EncrAESCBC, bits},
			keyword{aes + "ctr", TransformEncr, EncrAESCTR, bits},
			keyword{aes + "gmac", TransformEncr, EncrNullAuthAESGMAC, bits},
			keyword{camellia, TransformEncr, EncrCamelliaCBC, bits},
			keyword{camellia + "ctr", TransformEncr, EncrCamelliaCTR, bits},
			keyword{fmt.Sprintf("blowfish%d", bits), TransformEncr, EncrBlowfish, bits},
		)
		for i, octets := range []int{8, 12, 16} {
			step := uint16(i)
			// The ICV is told in octets or in bits.
			for _, icv := range []int{octets, octets * 8} {
				ks = append(ks,
					keyword{fmt.Sprintf("%sgcm%d", aes, icv), TransformEncr, EncrAESGCM8 + step, bits},
					keyword{fmt.Sprintf("%sccm%d", aes, icv), TransformEncr, EncrAESCCM8 + step, bits},
					keyword{fmt.Sprintf("%sccm%d", camellia, icv), TransformEncr, EncrCamelliaCCM8 + step, bits},
				)
			}
		}
		ks = append(ks, keyword{aes + "gcm", TransformEncr, EncrAESGCM16, bits},
			keyword{aes + "ccm", TransformEncr, EncrAESCCM16, bits})
	}
	for _, k := range keKeywords {
		ks = append(ks, keyword{k.text, TransformKE, k.id, 0})
	}
	for n := uint8(0); n < 7; n++ {
		for _, k := range keKeywords {
			ks = append(ks, keyword{fmt.Sprintf("ke%d_%s", n+1, k.text), TransformADDKE1 + TransformType(n), k.id, 0})
		}
	}
	return ks
}

var keKeywords = []struct {
	text string
	id   uint16
}{
	{"modpnone", KENone}, {"none", KENone},
	{"modp768", KEModp768}, {"modp1024", KEModp1024}, {"modp1536", KEModp1536}, {"modp2048", KEModp2048},
	{"modp3072", KEModp3072}, {"modp4096", KEModp4096}, {"modp6144", KEModp6144}, {"modp8192", KEModp8192},
	{"ecp256", KEECP256}, {"ecp384", KEECP384}, {"ecp521", KEECP521}, {"ecp192", KEECP192}, {"ecp224", KEECP224},
	{"modp1024s160", KEModp1024s160}, {"modp2048s224", KEModp2048s224}, {"modp2048s256", KEModp2048s256},
	{"ecp224bp", KEBrainpoolP224}, {"ecp256bp", KEBrainpoolP256}, {"ecp384bp", KEBrainpoolP384},
	{"ecp512bp", KEBrainpoolP512},
	{"curve25519", KECurve25519}, {"x25519", KECurve25519}, {"curve448", KECurve448}, {"x448", KECurve448},
	{"mlkem512", KEMLKEM512}, {"mlkem768", KEMLKEM768}, {"mlkem1024", KEMLKEM1024},
}

// ParseKeyword gives the transform that a keyword of swanctl names,
// "aes256gcm16".
func ParseKeyword(s string) (Transform, bool) {
	k, ok := keywords().byText[strings.ToLower(s)]
	if !ok {
		return Transform{}, false
	}
	t := Transform{Type: k.typ, ID: k.id}
	if k.bits != 0 && k.id != EncrCAST {
		t.Attributes = []Attribute{{Type: AttrKeyLength, Short: true, Value: uint16(k.bits)}}
	}
	return t, true
}

// Keyword gives swanctl's keyword for the transform, "aes256gcm16"; for one
// without a keyword its name in lower case, "gost3410_2012_256".
func (t *Transform) Keyword() string {
	bits := t.KeyLength()
	x := keywords()
	if text := x.byTransform[namedTransform{t.Type, t.ID, bits}]; text != "" {
		return text
	}
	if text := x.byTransform[namedTransform{t.Type, t.ID, -1}]; text != "" && bits == 0 {
		return text
	}
	s := strings.ToLower(t.Name())
	if bits != 0 {
		s += "_" + strconv.Itoa(bits)
	}
	return s
}

// AEAD says whether an encryption algorithm brings its own integrity, so that
// no INTEG transform belongs beside it (RFC 5282 8).
func AEAD(encr uint16) bool {
	switch encr {
	case EncrAESCCM8, EncrAESCCM12, EncrAESCCM16, EncrAESGCM8, EncrAESGCM12, EncrAESGCM16, EncrNullAuthAESGMAC,
		EncrCamelliaCCM8, EncrCamelliaCCM12, EncrCamelliaCCM16, EncrChaCha20Poly1305, EncrAESCCM8IIV,
		EncrAESGCM16IIV, EncrChaCha20Poly1305IIV, EncrKuznyechikMGMKTree, EncrMagmaMGMKTree,
		EncrKuznyechikMGMMACKTree, EncrMagmaMGMMACKTree:
		return true
	}
	return false
}

// prfOf gives the PRF that swanctl takes with an integrity algorithm where the
// proposal names no PRF.
func prfOf(integ uint16) (uint16, bool) {
	switch integ {
	case IntegMD5_96, IntegMD5_128:
		return PRFHMACMD5, true
	case IntegSHA1_96, IntegSHA1_160:
		return PRFHMACSHA1, true
	case IntegSHA256128:
		return PRFHMACSHA256, true
	case IntegSHA384192:
		return PRFHMACSHA384, true
	case IntegSHA512256:
		return PRFHMACSHA512, true
	case IntegAESXCBC96:
		return PRFAES128XCBC, true
	case IntegAESCMAC96:
		return PRFAES128CMAC, true
	}
	return 0, false
}

// maxKeywords bounds the length of a proposal string.
const maxKeywords = 64

// ParseProposal reads a proposal in swanctl's spelling into its transforms, in
// the order ENCR, PRF, INTEG, KE, ADDKE1 to ADDKE7, ESN:
// "aes256gcm16-prfsha256-ecp256" for protocol IKE, "aes256gcm16-ecp256-esn"
// for ESP, "sha256-noesn" for AH. As swanctl does, it derives the PRFs of an
// IKE proposal from its integrity algorithms where it names none, and adds
// noesn to an ESP or AH proposal that says nothing of sequence numbers. The
// error names the keyword or the transform that is missing or out of place.
func ParseProposal(p ProtocolID, s string) ([]Transform, error) {
	if p != ProtocolIKE && p != ProtocolESP && p != ProtocolAH {
		return nil, fmt.Errorf("proposal %q: protocol %s has no proposals in words", s, p)
	}
	words := strings.Split(s, "-")
	if len(words) > maxKeywords {
		return nil, fmt.Errorf("proposal of %d keywords, at most %d are read", len(words), maxKeywords)
	}
	var ts []Transform
	for _, w := range words {
		t, ok := ParseKeyword(w)
		if !ok {
			return nil, fmt.Errorf("proposal %q: unknown algorithm %q", s, w)
		}
		if !allowedIn(p, t.Type) {
			return nil, fmt.Errorf("proposal %q: %q does not belong into a proposal for %s", s, w, p)
		}
		ts = append(ts, t)
	}
	ts, err := complete(p, ts)
	if err != nil {
		return nil, fmt.Errorf("proposal %q: %w", s, err)
	}
	return ts, nil
}

// complete adds what swanctl takes for granted and refuses what cannot stand.
func complete(p ProtocolID, ts []Transform) ([]Transform, error) {
	has := func(typ TransformType) bool {
		return slices.ContainsFunc(ts, func(t Transform) bool { return t.Type == typ })
	}
	aead, plain := false, false
	for _, t := range ts {
		if t.Type == TransformEncr {
			aead = aead || AEAD(t.ID)
			plain = plain || !AEAD(t.ID)
		}
	}
	switch {
	case p != ProtocolAH && !has(TransformEncr):
		return nil, fmt.Errorf("no encryption algorithm")
	case aead && plain:
		return nil, fmt.Errorf("algorithms with and without their own integrity need proposals of their own (RFC 7296 3.3)")
	case aead && has(TransformInteg) && (p == ProtocolESP || has(TransformPRF)):
		return nil, fmt.Errorf("an integrity algorithm beside encryption that brings its own")
	case !aead && !has(TransformInteg):
		return nil, fmt.Errorf("no integrity algorithm")
	}
	if p == ProtocolIKE {
		if !has(TransformPRF) {
			for _, t := range slices.Clone(ts) {
				if prf, ok := prfOf(t.ID); ok && t.Type == TransformInteg {
					ts = append(ts, Transform{Type: TransformPRF, ID: prf})
				}
			}
		}
		if aead { // sha256 beside aes256gcm16 stands for the PRF alone
			ts = slices.DeleteFunc(ts, func(t Transform) bool { return t.Type == TransformInteg })
		}
		switch {
		case !has(TransformPRF):
			return nil, fmt.Errorf("no pseudorandom function")
		case !has(TransformKE):
			return nil, fmt.Errorf("no key exchange method")
		}
	} else if !has(TransformESN) {
		ts = append(ts, Transform{Type: TransformESN, ID: ESNNo})
	}
	slices.SortStableFunc(ts, func(a, b Transform) int { return int(a.Type) - int(b.Type) })
	return slices.CompactFunc(ts, func(a, b Transform) bool {
		return a.Type == b.Type && a.ID == b.ID && a.KeyLength() == b.KeyLength()
	}), nil
}

// allowedIn says whether transforms of type t belong into proposals for p
// (RFC 7296 3.3.2).
func allowedIn(p ProtocolID, t TransformType) bool {
	switch {
	case t == TransformEncr:
		return p != ProtocolAH
	case t == TransformPRF:
		return p == ProtocolIKE
	case t == TransformESN:
		return p != ProtocolIKE
	}
	return true
}

// FormatProposal writes transforms in swanctl's spelling, in the order
// encryption, integrity, PRF, key exchange, sequence numbers. What
// ParseProposal adds by itself is left out: PRFs that follow from the
// integrity algorithms, and noesn where esn does not stand beside it.
func FormatProposal(p ProtocolID, ts []Transform) string {
	var words []string
	of := func(typ TransformType) (found []Transform) {
		for _, t := range ts {
			if t.Type == typ {
				found = append(found, t)
			}
		}
		return found
	}
	add := func(found []Transform) {
		for _, t := range found {
			if t.Type != TransformInteg || t.ID != IntegNone {
				words = append(words, t.Keyword())
			}
		}
	}
	integs, prfs := of(TransformInteg), of(TransformPRF)
	add(of(TransformEncr))
	add(integs)
	derived := p == ProtocolIKE && len(integs) == len(prfs)
	for i := 0; derived && i < len(prfs); i++ {
		prf, ok := prfOf(integs[i].ID)
		derived = ok && prf == prfs[i].ID
	}
	if !derived {
		add(prfs)
	}
	for typ := TransformKE; typ <= TransformADDKE7; typ++ {
		if typ != TransformESN {
			add(of(typ))
		}
	}
	esn := of(TransformESN)
	if len(esn) > 1 || len(esn) == 1 && esn[0].ID != ESNNo {
		add(esn)
	}
	return strings.Join(words, "-")
}
