package grade

import "github.com/cloudvlan/cvlanctl/engine/wire"

const (
	must8221    = "MUST (RFC 8221 5)"
	should8221  = "SHOULD (RFC 8221 5)"
	unlistedESP = "standardised, and not ranked by RFC 8221"
	mustNot8221 = "MUST NOT (RFC 8221 5)"
)

// espEncr and espInteg give RFC 8221 5 and 6, and the deprecations of RFC 9395.
var espEncr = []row{
	{wire.EncrAESGCM16, 192, Allowed, "MAY, with keys of 192 bits (RFC 8221 5)"},
	{wire.EncrAESGCM16, 0, Good, must8221},
	{wire.EncrAESCBC, 192, Allowed, "MAY, with keys of 192 bits (RFC 8221 5)"},
	{wire.EncrAESCBC, 0, Good, must8221},
	{wire.EncrChaCha20Poly1305, 0, Good, should8221},
	{wire.EncrAESCCM8, 0, Allowed, "SHOULD for small devices (RFC 8221 5)"},
	{wire.EncrAESGCM8, 0, Allowed, unlistedESP},
	{wire.EncrAESGCM12, 0, Allowed, unlistedESP},
	{wire.EncrAESCCM12, 0, Allowed, unlistedESP},
	{wire.EncrAESCCM16, 0, Allowed, unlistedESP},
	{wire.EncrAESCTR, 0, Allowed, unlistedESP},
	{wire.EncrCamelliaCBC, 0, Allowed, unlistedESP},
	{wire.EncrCamelliaCTR, 0, Allowed, unlistedESP},
	{wire.EncrNull, 0, Weak, "encrypts nothing; to be implemented all the same (RFC 8221 5)"},
	{wire.Encr3DES, 0, Weak, "SHOULD NOT (RFC 8221 5)"},
	{wire.EncrDES, 0, Forbidden, mustNot8221},
	{wire.EncrDESIV64, 0, Forbidden, mustNot8221},
	{wire.EncrDESIV32, 0, Forbidden, mustNot8221},
	{wire.EncrBlowfish, 0, Forbidden, mustNot8221},
	{wire.Encr3IDEA, 0, Forbidden, mustNot8221},
	{wire.EncrRC5, 0, Forbidden, deprecated},
	{wire.EncrIDEA, 0, Forbidden, deprecated},
	{wire.EncrCAST, 0, Forbidden, deprecated},
}

var espInteg = []row{
	{wire.IntegSHA256128, 0, Good, "MUST (RFC 8221 6)"},
	{wire.IntegSHA512256, 0, Good, "SHOULD (RFC 8221 6)"},
	{wire.IntegSHA384192, 0, Good, unlistedESP},
	{wire.IntegAESXCBC96, 0, Allowed, "SHOULD for small devices (RFC 8221 6)"},
	{wire.IntegAESCMAC96, 0, Allowed, unlistedESP},
	{wire.IntegSHA1_96, 0, Weak, "MUST-, to be dropped (RFC 8221 6)"},
	{wire.IntegMD5_96, 0, Forbidden, "MUST NOT (RFC 8221 6)"},
	{wire.IntegDESMAC, 0, Forbidden, "MUST NOT (RFC 8221 6)"},
	{wire.IntegKPDKMD5, 0, Forbidden, "MUST NOT (RFC 8221 6)"},
	{wire.IntegMD5_128, 0, Forbidden, deprecated},
	{wire.IntegSHA1_160, 0, Forbidden, deprecated},
}

func ietfESP(t wire.TransformType, id uint16, bits int) Grade {
	switch t {
	case wire.TransformEncr:
		return lookup(espEncr, id, bits)
	case wire.TransformInteg:
		return lookup(espInteg, id, bits)
	}
	return Grade{}
}

// cnsa1ESP is narrower than for IKE: ESP has AES-256 in GCM alone.
func cnsa1ESP(t wire.TransformType, id uint16, bits int) Grade {
	if t == wire.TransformEncr && (id != wire.EncrAESGCM16 || bits != 256) {
		return Grade{Forbidden, "not in CNSA 1.0 for ESP (RFC 9206)"}
	}
	return cnsa1(t, id, bits)
}
