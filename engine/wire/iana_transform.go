package wire

// TransformType is the kind of algorithm that a transform names (RFC 7296
// 3.3.2, RFC 9370).
type TransformType uint8

// The transform types.
const (
	TransformEncr   TransformType = 1 // encryption algorithm
	TransformPRF    TransformType = 2 // pseudorandom function
	TransformInteg  TransformType = 3 // integrity algorithm
	TransformKE     TransformType = 4 // key exchange method, once Diffie-Hellman group
	TransformESN    TransformType = 5 // sequence numbers, once extended sequence numbers
	TransformADDKE1 TransformType = 6 // additional key exchanges 1 to 7, RFC 9370
	TransformADDKE2 TransformType = 7
	TransformADDKE3 TransformType = 8
	TransformADDKE4 TransformType = 9
	TransformADDKE5 TransformType = 10
	TransformADDKE6 TransformType = 11
	TransformADDKE7 TransformType = 12
	TransformKWA    TransformType = 13 // key wrap algorithm, RFC 9838
	TransformGCAuth TransformType = 14 // group controller authentication, RFC 9838
)

var transformTypeNames = []string{
	1: "ENCR", 2: "PRF", 3: "INTEG", 4: "KE", 5: "ESN",
	6: "ADDKE1", 7: "ADDKE2", 8: "ADDKE3", 9: "ADDKE4", 10: "ADDKE5", 11: "ADDKE6", 12: "ADDKE7",
	13: "KWA", 14: "GCAUTH",
}

// String gives IANA's short name, "ENCR".
func (t TransformType) String() string { return name(transformTypeNames, int(t), 241) }

// KeyExchange says whether the transform's id is a key exchange method: type
// KE or one of ADDKE1 to ADDKE7.
func (t TransformType) KeyExchange() bool {
	return t == TransformKE || t >= TransformADDKE1 && t <= TransformADDKE7
}

// Encryption algorithms, transform type ENCR.
const (
	EncrDESIV64               = 1
	EncrDES                   = 2
	Encr3DES                  = 3
	EncrRC5                   = 4
	EncrIDEA                  = 5
	EncrCAST                  = 6
	EncrBlowfish              = 7
	Encr3IDEA                 = 8
	EncrDESIV32               = 9
	EncrNull                  = 11
	EncrAESCBC                = 12
	EncrAESCTR                = 13
	EncrAESCCM8               = 14
	EncrAESCCM12              = 15
	EncrAESCCM16              = 16
	EncrAESGCM8               = 18
	EncrAESGCM12              = 19
	EncrAESGCM16              = 20
	EncrNullAuthAESGMAC       = 21
	EncrAESXTS                = 22
	EncrCamelliaCBC           = 23
	EncrCamelliaCTR           = 24
	EncrCamelliaCCM8          = 25
	EncrCamelliaCCM12         = 26
	EncrCamelliaCCM16         = 27
	EncrChaCha20Poly1305      = 28
	EncrAESCCM8IIV            = 29 // RFC 8750
	EncrAESGCM16IIV           = 30
	EncrChaCha20Poly1305IIV   = 31
	EncrKuznyechikMGMKTree    = 32 // RFC 9227
	EncrMagmaMGMKTree         = 33
	EncrKuznyechikMGMMACKTree = 34
	EncrMagmaMGMMACKTree      = 35
	// EncrPrivateUse is where private use begins, for every transform type.
	EncrPrivateUse int = 1024
)

var encrNames = []string{
	1: "DES_IV64", 2: "DES", 3: "3DES", 4: "RC5", 5: "IDEA", 6: "CAST", 7: "BLOWFISH", 8: "3IDEA", 9: "DES_IV32",
	11: "NULL", 12: "AES_CBC", 13: "AES_CTR", 14: "AES_CCM_8", 15: "AES_CCM_12", 16: "AES_CCM_16",
	18: "AES_GCM_8", 19: "AES_GCM_12", 20: "AES_GCM_16", 21: "NULL_AUTH_AES_GMAC", 22: "AES_XTS",
	23: "CAMELLIA_CBC", 24: "CAMELLIA_CTR", 25: "CAMELLIA_CCM_8", 26: "CAMELLIA_CCM_12", 27: "CAMELLIA_CCM_16",
	28: "CHACHA20_POLY1305", 29: "AES_CCM_8_IIV", 30: "AES_GCM_16_IIV", 31: "CHACHA20_POLY1305_IIV",
	32: "KUZNYECHIK_MGM_KTREE", 33: "MAGMA_MGM_KTREE", 34: "KUZNYECHIK_MGM_MAC_KTREE", 35: "MAGMA_MGM_MAC_KTREE",
}

// Pseudorandom functions, transform type PRF.
const (
	PRFHMACMD5         = 1
	PRFHMACSHA1        = 2
	PRFHMACTiger       = 3
	PRFAES128XCBC      = 4
	PRFHMACSHA256      = 5
	PRFHMACSHA384      = 6
	PRFHMACSHA512      = 7
	PRFAES128CMAC      = 8
	PRFHMACStreebog512 = 9 // RFC 9385
)

var prfNames = []string{
	1: "PRF_HMAC_MD5", 2: "PRF_HMAC_SHA1", 3: "PRF_HMAC_TIGER", 4: "PRF_AES128_XCBC", 5: "PRF_HMAC_SHA2_256",
	6: "PRF_HMAC_SHA2_384", 7: "PRF_HMAC_SHA2_512", 8: "PRF_AES128_CMAC", 9: "PRF_HMAC_STREEBOG_512",
}

// Integrity algorithms, transform type INTEG.
const (
	IntegNone       = 0
	IntegMD5_96     = 1
	IntegSHA1_96    = 2
	IntegDESMAC     = 3
	IntegKPDKMD5    = 4
	IntegAESXCBC96  = 5
	IntegMD5_128    = 6
	IntegSHA1_160   = 7
	IntegAESCMAC96  = 8
	IntegAES128GMAC = 9
	IntegAES192GMAC = 10
	IntegAES256GMAC = 11
	IntegSHA256128  = 12
	IntegSHA384192  = 13
	IntegSHA512256  = 14
)

var integNames = []string{
	0: "NONE", 1: "HMAC_MD5_96", 2: "HMAC_SHA1_96", 3: "DES_MAC", 4: "KPDK_MD5", 5: "AES_XCBC_96",
	6: "HMAC_MD5_128", 7: "HMAC_SHA1_160", 8: "AES_CMAC_96", 9: "AES_128_GMAC", 10: "AES_192_GMAC",
	11: "AES_256_GMAC", 12: "HMAC_SHA2_256_128", 13: "HMAC_SHA2_384_192", 14: "HMAC_SHA2_512_256",
}

// KEMethod is a key exchange method: the group of a KE payload and the id of a
// transform of type KE or ADDKE1 to ADDKE7.
type KEMethod uint16

// The key exchange methods; untyped, so that they serve KEMethod and
// Transform.ID.
const (
	KENone          = 0
	KEModp768       = 1
	KEModp1024      = 2
	KEModp1536      = 5
	KEModp2048      = 14
	KEModp3072      = 15
	KEModp4096      = 16
	KEModp6144      = 17
	KEModp8192      = 18
	KEECP256        = 19
	KEECP384        = 20
	KEECP521        = 21
	KEModp1024s160  = 22
	KEModp2048s224  = 23
	KEModp2048s256  = 24
	KEECP192        = 25
	KEECP224        = 26
	KEBrainpoolP224 = 27
	KEBrainpoolP256 = 28
	KEBrainpoolP384 = 29
	KEBrainpoolP512 = 30
	KECurve25519    = 31
	KECurve448      = 32
	KEGOST3410_256  = 33 // RFC 9385
	KEGOST3410_512  = 34
	KEMLKEM512      = 35
	KEMLKEM768      = 36
	KEMLKEM1024     = 37
)

var keNames = []string{
	0: "NONE", 1: "MODP_768", 2: "MODP_1024", 5: "MODP_1536", 14: "MODP_2048", 15: "MODP_3072", 16: "MODP_4096",
	17: "MODP_6144", 18: "MODP_8192", 19: "ECP_256", 20: "ECP_384", 21: "ECP_521", 22: "MODP_1024_160",
	23: "MODP_2048_224", 24: "MODP_2048_256", 25: "ECP_192", 26: "ECP_224", 27: "ECP_224_BP", 28: "ECP_256_BP",
	29: "ECP_384_BP", 30: "ECP_512_BP", 31: "CURVE_25519", 32: "CURVE_448", 33: "GOST3410_2012_256",
	34: "GOST3410_2012_512", 35: "ML_KEM_512", 36: "ML_KEM_768", 37: "ML_KEM_1024",
}

// String gives the name that daemons print, "ECP_256".
func (m KEMethod) String() string { return name(keNames, int(m), 1024) }

// Sequence numbers, transform type ESN (RFC 7296 3.3.2, RFC 9827).
const (
	ESNNo          = 0 // 32 bits, sequential
	ESNYes         = 1 // 64 bits, sequential, the low half transmitted
	ESNUnspecified = 2 // 32 bits, no order: no replay protection
)

var esnNames = []string{0: "NO_EXT_SEQ", 1: "EXT_SEQ", 2: "UNSPECIFIED_SEQ"}

// Key wrap algorithms, transform type KWA (RFC 9838).
const (
	KWA5649_128 = 1
	KWA5649_192 = 2
	KWA5649_256 = 3
	KWAARX      = 4
)

var kwaNames = []string{1: "KW_5649_128", 2: "KW_5649_192", 3: "KW_5649_256", 4: "KW_ARX"}

// Group controller authentication methods, transform type GCAUTH (RFC 9838).
const (
	GCAuthImplicit         = 1
	GCAuthDigitalSignature = 2
)

var gcAuthNames = []string{1: "IMPLICIT", 2: "DIGITAL_SIGNATURE"}

// Transform attributes (RFC 7296 3.3.5).
const (
	AttrKeyLength              = 14 // bits
	AttrSignatureAlgorithm     = 18 // RFC 9838
	attributePrivateUse    int = 16384
)

// TransformName gives the name of a transform id within its type: IANA's
// without the type's prefix, in the spelling that strongSwan prints
// ("AES_GCM_16", "HMAC_SHA2_256_128", "ECP_256"); PRF keeps its prefix
// ("PRF_HMAC_SHA2_256") because HMAC_SHA2_256 alone reads as an integrity
// algorithm.
func TransformName(t TransformType, id uint16) string {
	switch {
	case t == TransformEncr:
		return name(encrNames, int(id), EncrPrivateUse)
	case t == TransformPRF:
		return name(prfNames, int(id), 1024)
	case t == TransformInteg:
		return name(integNames, int(id), 1024)
	case t.KeyExchange():
		return KEMethod(id).String()
	case t == TransformESN:
		return name(esnNames, int(id), 1024)
	case t == TransformKWA:
		return name(kwaNames, int(id), 1024)
	case t == TransformGCAuth:
		return name(gcAuthNames, int(id), 1024)
	}
	return name(nil, int(id), 0)
}

// Name gives the transform's name, "AES_GCM_16".
func (t *Transform) Name() string { return TransformName(t.Type, t.ID) }

// AttributeName gives the name of a transform attribute of IKEv2.
func AttributeName(t uint16) string {
	switch t {
	case AttrKeyLength:
		return "KEY_LENGTH"
	case AttrSignatureAlgorithm:
		return "SIGNATURE_ALGORITHM_IDENTIFIER"
	}
	return name(nil, int(t), attributePrivateUse)
}
