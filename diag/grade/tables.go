package grade

import "github.com/cloudvlan/cvlanctl/engine/wire"

// The words of the requirement levels, with where they stand.
const (
	must8247      = "MUST (RFC 8247 2)"
	should8247    = "SHOULD (RFC 8247 2)"
	may8247       = "MAY (RFC 8247 2)"
	mustMinus8247 = "MUST-, to be dropped (RFC 8247 2)"
	shouldNot8247 = "SHOULD NOT (RFC 8247 2.4)"
	mustNot8247   = "MUST NOT (RFC 8247 2)"
	deprecated    = "deprecated (RFC 9395 3)"
	unlisted      = "standardised, and not ranked by RFC 8247"
	unproven      = "standardised nationally, and not ranked by RFC 8247"
)

// ietfEncr and the other tables of the IETF give RFC 8247 2.1 to 2.4, and the
// deprecations of RFC 9395.
var ietfEncr = []row{
	{wire.EncrAESCBC, 192, Allowed, may8247},
	{wire.EncrAESCBC, 0, Good, must8247},
	{wire.EncrAESGCM16, 192, Allowed, may8247},
	{wire.EncrAESGCM16, 0, Good, should8247},
	{wire.EncrChaCha20Poly1305, 0, Good, should8247},
	{wire.EncrAESCCM8, 128, Good, should8247},
	{wire.EncrAESCCM8, 0, Allowed, may8247},
	{wire.EncrAESGCM8, 0, Allowed, may8247},
	{wire.EncrAESGCM12, 0, Allowed, may8247},
	{wire.EncrAESCCM12, 0, Allowed, may8247},
	{wire.EncrAESCCM16, 0, Allowed, may8247},
	{wire.EncrAESCTR, 0, Allowed, may8247},
	{wire.EncrCamelliaCBC, 0, Allowed, unlisted},
	{wire.EncrCamelliaCTR, 0, Allowed, unlisted},
	{wire.EncrCamelliaCCM8, 0, Allowed, unlisted},
	{wire.EncrCamelliaCCM12, 0, Allowed, unlisted},
	{wire.EncrCamelliaCCM16, 0, Allowed, unlisted},
	{wire.EncrKuznyechikMGMKTree, 0, Allowed, unproven},
	{wire.EncrMagmaMGMKTree, 0, Allowed, unproven},
	{wire.Encr3DES, 0, Weak, may8247 + ", with blocks of 64 bits"},
	{wire.EncrDES, 0, Forbidden, mustNot8247},
	{wire.EncrNull, 0, Forbidden, mustNot8247},
	{wire.EncrDESIV64, 0, Forbidden, deprecated},
	{wire.EncrDESIV32, 0, Forbidden, deprecated},
	{wire.EncrRC5, 0, Forbidden, deprecated},
	{wire.EncrIDEA, 0, Forbidden, deprecated},
	{wire.EncrCAST, 0, Forbidden, deprecated},
	{wire.EncrBlowfish, 0, Forbidden, deprecated},
	{wire.Encr3IDEA, 0, Forbidden, deprecated},
}

var ietfPRF = []row{
	{wire.PRFHMACSHA256, 0, Good, must8247},
	{wire.PRFHMACSHA512, 0, Good, "SHOULD+ (RFC 8247 2)"},
	{wire.PRFHMACSHA384, 0, Good, unlisted},
	{wire.PRFAES128XCBC, 0, Allowed, "SHOULD for small devices (RFC 8247 2)"},
	{wire.PRFAES128CMAC, 0, Allowed, unlisted},
	{wire.PRFHMACStreebog512, 0, Allowed, unproven},
	{wire.PRFHMACSHA1, 0, Weak, mustMinus8247},
	{wire.PRFHMACMD5, 0, Forbidden, mustNot8247},
	{wire.PRFHMACTiger, 0, Forbidden, deprecated},
}

var ietfInteg = []row{
	{wire.IntegSHA256128, 0, Good, must8247},
	{wire.IntegSHA512256, 0, Good, should8247},
	{wire.IntegSHA384192, 0, Good, unlisted},
	{wire.IntegAESXCBC96, 0, Allowed, "SHOULD for small devices (RFC 8247 2)"},
	{wire.IntegAESCMAC96, 0, Allowed, unlisted},
	{wire.IntegSHA1_96, 0, Weak, mustMinus8247},
	{wire.IntegMD5_96, 0, Forbidden, mustNot8247},
	{wire.IntegDESMAC, 0, Forbidden, mustNot8247},
	{wire.IntegKPDKMD5, 0, Forbidden, mustNot8247},
	{wire.IntegMD5_128, 0, Forbidden, deprecated},
	{wire.IntegSHA1_160, 0, Forbidden, deprecated},
}

var ietfKE = []row{
	{wire.KEModp2048, 0, Good, must8247},
	{wire.KEECP256, 0, Good, should8247},
	{wire.KEModp3072, 0, Good, unlisted},
	{wire.KEModp4096, 0, Good, unlisted},
	{wire.KEModp6144, 0, Good, unlisted},
	{wire.KEModp8192, 0, Good, unlisted},
	{wire.KEECP384, 0, Good, unlisted},
	{wire.KEECP521, 0, Good, unlisted},
	{wire.KECurve25519, 0, Good, unlisted},
	{wire.KECurve448, 0, Good, unlisted},
	{wire.KEBrainpoolP256, 0, Allowed, unlisted},
	{wire.KEBrainpoolP384, 0, Allowed, unlisted},
	{wire.KEBrainpoolP512, 0, Allowed, unlisted},
	{wire.KEGOST3410_256, 0, Allowed, unproven},
	{wire.KEGOST3410_512, 0, Allowed, unproven},
	{wire.KEMLKEM512, 0, Good, unlisted},
	{wire.KEMLKEM768, 0, Good, unlisted},
	{wire.KEMLKEM1024, 0, Good, unlisted},
	{wire.KEECP192, 0, Weak, "96 bits of strength at most, not ranked by RFC 8247"},
	{wire.KEECP224, 0, Allowed, unlisted},
	{wire.KEBrainpoolP224, 0, Allowed, unlisted},
	{wire.KEModp1536, 0, Weak, shouldNot8247},
	{wire.KEModp1024, 0, Weak, shouldNot8247},
	{wire.KEModp2048s224, 0, Weak, shouldNot8247},
	{wire.KEModp2048s256, 0, Weak, shouldNot8247},
	{wire.KEModp768, 0, Forbidden, mustNot8247},
	{wire.KEModp1024s160, 0, Forbidden, mustNot8247},
}

func ietf(t wire.TransformType, id uint16, bits int) Grade {
	switch {
	case t == wire.TransformEncr:
		return lookup(ietfEncr, id, bits)
	case t == wire.TransformPRF:
		return lookup(ietfPRF, id, bits)
	case t == wire.TransformInteg:
		return lookup(ietfInteg, id, bits)
	case t.KeyExchange():
		return lookup(ietfKE, id, bits)
	}
	return Grade{}
}

// within grades what a profile prescribes as good, what it tolerates as
// allowed, and all else as outside of it.
func within(good, allowed []row, outside string, id uint16, bits int) Grade {
	if g := lookup(good, id, bits); g.Level != 0 {
		return g
	}
	if g := lookup(allowed, id, bits); g.Level != 0 {
		return g
	}
	return Grade{Forbidden, outside}
}

// cnsa1 is the suite of RFC 9206: AES-256, SHA-384 or stronger, P-384 or MODP
// of 3072 bits and more.
func cnsa1(t wire.TransformType, id uint16, bits int) Grade {
	const prescribed, outside = "prescribed (RFC 9206)", "not in CNSA 1.0 (RFC 9206)"
	switch {
	case t == wire.TransformEncr:
		return within([]row{{wire.EncrAESGCM16, 256, Good, prescribed}, {wire.EncrAESCBC, 256, Allowed, "allowed (RFC 9206)"}}, nil, outside, id, bits)
	case t == wire.TransformPRF:
		return within([]row{{wire.PRFHMACSHA384, 0, Good, prescribed}, {wire.PRFHMACSHA512, 0, Good, prescribed}}, nil, outside, id, bits)
	case t == wire.TransformInteg:
		return within([]row{{wire.IntegSHA384192, 0, Good, prescribed}, {wire.IntegSHA512256, 0, Good, prescribed}}, nil, outside, id, bits)
	case t == wire.TransformKE:
		return within([]row{{wire.KEECP384, 0, Good, prescribed}, {wire.KEModp3072, 0, Allowed, "allowed (RFC 9206)"}, {wire.KEModp4096, 0, Allowed, "allowed (RFC 9206)"}}, nil, outside, id, bits)
	}
	return Grade{}
}

// cnsa2 wants ML-KEM-1024 as the key exchange; IKE_SA_INIT carries another one
// first, because an ML-KEM-1024 value does not fit one packet (RFC 9370).
func cnsa2(t wire.TransformType, id uint16, bits int) Grade {
	const prescribed, outside = "prescribed", "not in CNSA 2.0"
	switch {
	case t == wire.TransformEncr:
		return within([]row{{wire.EncrAESGCM16, 256, Good, prescribed}}, nil, outside, id, bits)
	case t == wire.TransformPRF:
		return within([]row{{wire.PRFHMACSHA384, 0, Good, prescribed}, {wire.PRFHMACSHA512, 0, Good, prescribed}}, nil, outside, id, bits)
	case t == wire.TransformInteg:
		return within([]row{{wire.IntegSHA384192, 0, Good, prescribed}, {wire.IntegSHA512256, 0, Good, prescribed}}, nil, outside, id, bits)
	case t == wire.TransformKE:
		return within([]row{{wire.KEMLKEM1024, 0, Good, prescribed}, {wire.KEECP384, 0, Allowed, "only with ML-KEM-1024 as an additional key exchange"}}, nil, outside, id, bits)
	case t.KeyExchange():
		return within([]row{{wire.KEMLKEM1024, 0, Good, prescribed}}, nil, outside, id, bits)
	}
	return Grade{}
}

// nist is the guide for federal IPsec: approved algorithms at 112 bits of
// strength or more.
func nist(t wire.TransformType, id uint16, bits int) Grade {
	const good, outside = "recommended", "not approved"
	switch {
	case t == wire.TransformEncr:
		return within([]row{{wire.EncrAESGCM16, 0, Good, good}, {wire.EncrAESCBC, 0, Good, good}, {wire.EncrAESCTR, 0, Allowed, "approved"},
			{wire.EncrAESCCM16, 0, Allowed, "approved"}, {wire.EncrAESCCM12, 0, Allowed, "approved"}, {wire.EncrAESCCM8, 0, Allowed, "approved"},
			{wire.EncrAESGCM12, 0, Allowed, "approved"}, {wire.EncrAESGCM8, 0, Allowed, "approved"},
			{wire.Encr3DES, 0, Forbidden, "withdrawn after 2023"}}, nil, outside, id, bits)
	case t == wire.TransformPRF:
		return within([]row{{wire.PRFHMACSHA256, 0, Good, good}, {wire.PRFHMACSHA384, 0, Good, good}, {wire.PRFHMACSHA512, 0, Good, good},
			{wire.PRFAES128CMAC, 0, Allowed, "approved"}, {wire.PRFHMACSHA1, 0, Weak, "approved until 2030"}}, nil, outside, id, bits)
	case t == wire.TransformInteg:
		return within([]row{{wire.IntegSHA256128, 0, Good, good}, {wire.IntegSHA384192, 0, Good, good}, {wire.IntegSHA512256, 0, Good, good},
			{wire.IntegAESCMAC96, 0, Allowed, "approved"}, {wire.IntegSHA1_96, 0, Weak, "approved until 2030"}}, nil, outside, id, bits)
	case t.KeyExchange():
		return within([]row{{wire.KEModp2048, 0, Good, good}, {wire.KEModp3072, 0, Good, good}, {wire.KEModp4096, 0, Good, good},
			{wire.KEModp6144, 0, Good, good}, {wire.KEModp8192, 0, Good, good}, {wire.KEECP256, 0, Good, good}, {wire.KEECP384, 0, Good, good},
			{wire.KEECP521, 0, Good, good}, {wire.KEMLKEM512, 0, Allowed, "approved (FIPS 203)"}, {wire.KEMLKEM768, 0, Allowed, "approved (FIPS 203)"},
			{wire.KEMLKEM1024, 0, Allowed, "approved (FIPS 203)"}}, nil, outside, id, bits)
	}
	return Grade{}
}
