package rule

import (
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// room is how many octets the payloads inside an encrypted message may have:
// its length is known without keys, what padding hides is the rest.
type room struct{ least, most int }

// lone says that the room fits a Notify of 8 octets, or one with a little
// data, and nothing more.
func (r room) lone() bool { return r.most >= 8 && r.least <= 8+8 }

// exactly says that n octets fit with the least padding that the cipher
// allows.
func (r room) exactly(n int) bool { return r.least <= n && n <= r.most }

// aeadAlign is the padding that some implementations add where none is needed.
const aeadAlign = 4

// inside gives the room of an encrypted message, by the suite of its SA. Not
// ok for what is in fragments, or where the suite is not known.
func inside(sa *trace.IKESA, m *trace.Message) (r room, ok bool) {
	if m == nil || !m.Encrypted || m.Fragments > 0 {
		return room{}, false
	}
	iv, block, icv, ok := envelope(sa.Suite)
	if !ok {
		return room{}, false
	}
	body := m.Length - wire.HeaderLength - 4 - iv - icv
	return room{body - block, body - 1}, body > 0
}

// envelope gives the octets that a suite adds around the payloads (RFC 7296
// 3.14): IV, block for padding, integrity check value.
func envelope(s engine.Suite) (iv, block, icv int, ok bool) {
	switch s.EncrID {
	case wire.EncrAESGCM16, wire.EncrAESCCM16, wire.EncrChaCha20Poly1305, wire.EncrCamelliaCCM16:
		return 8, aeadAlign, 16, true
	case wire.EncrAESGCM12, wire.EncrAESCCM12, wire.EncrCamelliaCCM12:
		return 8, aeadAlign, 12, true
	case wire.EncrAESGCM8, wire.EncrAESCCM8, wire.EncrCamelliaCCM8:
		return 8, aeadAlign, 8, true
	case wire.EncrAESGCM16IIV, wire.EncrChaCha20Poly1305IIV:
		return 0, aeadAlign, 16, true
	case wire.EncrAESCCM8IIV:
		return 0, aeadAlign, 8, true
	case wire.EncrAESCBC, wire.EncrCamelliaCBC:
		iv, block = 16, 16
	case wire.EncrAESCTR, wire.EncrCamelliaCTR:
		iv, block = 8, aeadAlign
	case wire.EncrDES, wire.Encr3DES, wire.EncrBlowfish, wire.EncrCAST, wire.EncrIDEA:
		iv, block = 8, 8
	case wire.EncrNull:
		iv, block = 0, aeadAlign
	default:
		return 0, 0, 0, false
	}
	switch s.IntegID {
	case wire.IntegMD5_96, wire.IntegSHA1_96, wire.IntegAESXCBC96, wire.IntegAESCMAC96:
		icv = 12
	case wire.IntegSHA256128, wire.IntegMD5_128:
		icv = 16
	case wire.IntegSHA1_160:
		icv = 20
	case wire.IntegSHA384192:
		icv = 24
	case wire.IntegSHA512256:
		icv = 32
	default:
		return 0, 0, 0, false
	}
	return iv, block, icv, true
}

// prfLength gives the octets of an AUTH value made from a shared key, 0 where
// the PRF is not known.
func prfLength(s engine.Suite) int {
	switch s.PRFID {
	case wire.PRFHMACMD5, wire.PRFAES128XCBC, wire.PRFAES128CMAC:
		return 16
	case wire.PRFHMACSHA1:
		return 20
	case wire.PRFHMACSHA256:
		return 32
	case wire.PRFHMACSHA384:
		return 48
	case wire.PRFHMACSHA512, wire.PRFHMACStreebog512:
		return 64
	}
	return 0
}

// sealedNotify says that an encrypted message holds a Notify and nothing
// else, as far as its first payload and its length tell.
func sealedNotify(sa *trace.IKESA, m *trace.Message) bool {
	r, ok := inside(sa, m)
	return ok && m.First == wire.PayloadNotify && r.lone()
}
