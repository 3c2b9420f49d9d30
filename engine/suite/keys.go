package suite

import (
	"encoding/binary"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// IKETransforms are the transforms of an IKE SA that its keys depend on.
type IKETransforms struct {
	EncrID   uint16
	EncrBits int    // Key Length attribute, 0 where there is none
	IntegID  uint16 // wire.IntegNone with an AEAD
	PRFID    uint16
}

// IKEKeys are the keys of an IKE SA (RFC 7296 2.14).
type IKEKeys struct {
	D      Secret // for the keys of CHILD SAs and of the IKE SA that follows
	AI, AR Secret // integrity of the original initiator's and responder's messages, empty with an AEAD
	EI, ER Secret // their encryption, salt included
	PI, PR Secret // for their AUTH payloads
}

// Wipe overwrites all keys.
func (k *IKEKeys) Wipe() {
	for _, s := range []Secret{k.D, k.AI, k.AR, k.EI, k.ER, k.PI, k.PR} {
		s.Wipe()
	}
}

// Ciphers makes the ciphers of the messages that the original initiator and
// the original responder send.
func (k *IKEKeys) Ciphers(t IKETransforms) (initiator, responder *IKECipher, err error) {
	if initiator, err = NewIKE(t.EncrID, t.EncrBits, t.IntegID, k.EI, k.AI); err != nil {
		return nil, nil, err
	}
	if responder, err = NewIKE(t.EncrID, t.EncrBits, t.IntegID, k.ER, k.AR); err != nil {
		return nil, nil, err
	}
	return initiator, responder, nil
}

// SKEYSEED gives the seed of the first keys of an IKE SA: prf(Ni | Nr, shared),
// where shared is the result of the key exchange (RFC 7296 2.14).
func (p PRF) SKEYSEED(ni, nr []byte, shared Secret) Secret {
	if p.blockMAC != nil {
		// These take eight octets of each nonce, for a key of 16.
		ni, nr = ni[:min(8, len(ni))], nr[:min(8, len(nr))]
	}
	key := append(append(make([]byte, 0, len(ni)+len(nr)), ni...), nr...)
	return ownSecret(p.Sum(ownSecret(key), shared.view()))
}

// RekeySKEYSEED gives the seed of the keys of an IKE SA that replaces another:
// prf(SK_d of the old, shared | Ni | Nr), with the old SA's PRF (RFC 7296
// 2.18). An additional key exchange continues the keys in the same way (RFC
// 9370 2.2.2).
func (p PRF) RekeySKEYSEED(oldD, shared Secret, ni, nr []byte) Secret {
	return ownSecret(p.Sum(oldD, shared.view(), ni, nr))
}

// Possible says what keeps DeriveIKE and Ciphers from making keys for transforms,
// nil where nothing does.
func (t IKETransforms) Possible() error {
	if _, err := NewPRF(t.PRFID); err != nil {
		return err
	}
	encr, integ, err := KeyLengths(t.EncrID, t.EncrBits, t.IntegID)
	if err != nil {
		return err
	}
	_, err = NewIKE(t.EncrID, t.EncrBits, t.IntegID, NewSecret(make([]byte, encr)), NewSecret(make([]byte, integ)))
	return err
}

// DeriveIKE gives the keys of an IKE SA: prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
// cut into SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi and SK_pr (RFC 7296 2.14).
func DeriveIKE(t IKETransforms, skeyseed Secret, ni, nr []byte, initiator, responder wire.SPI) (*IKEKeys, error) {
	p, err := NewPRF(t.PRFID)
	if err != nil {
		return nil, err
	}
	encr, integ, err := KeyLengths(t.EncrID, t.EncrBits, t.IntegID)
	if err != nil {
		return nil, err
	}
	var spis [16]byte
	binary.BigEndian.PutUint64(spis[:8], uint64(initiator))
	binary.BigEndian.PutUint64(spis[8:], uint64(responder))
	all, err := p.Plus(skeyseed, 3*p.size+2*integ+2*encr, ni, nr, spis[:])
	if err != nil {
		return nil, err
	}
	c := cutter(all.view())
	k := &IKEKeys{}
	k.D = c.cut(p.size)
	k.AI, k.AR = c.cut(integ), c.cut(integ)
	k.EI, k.ER = c.cut(encr), c.cut(encr)
	k.PI, k.PR = c.cut(p.size), c.cut(p.size)
	all.Wipe()
	return k, nil
}

// cutter is keying material not yet given away.
type cutter []byte

func (c *cutter) cut(n int) Secret {
	s := NewSecret((*c)[:n])
	*c = (*c)[n:]
	return s
}

// ChildKeys are the keys of the two SAs of a CHILD SA (RFC 7296 2.17). I is the
// SA that the initiator of the exchange sends with, R the responder's: after a
// rekeying those need not be the original initiator and responder.
type ChildKeys struct {
	EncrI, IntegI Secret // encryption keys hold their salt, integrity keys are empty with an AEAD
	EncrR, IntegR Secret
}

// Wipe overwrites all keys.
func (k *ChildKeys) Wipe() {
	for _, s := range []Secret{k.EncrI, k.IntegI, k.EncrR, k.IntegR} {
		s.Wipe()
	}
}

// DeriveChild gives the keys of a CHILD SA: prf+(SK_d, shared | Ni | Nr), where
// shared is the result of a key exchange of its own, empty without one (RFC
// 7296 2.17). The nonces are those of the exchange that makes the CHILD SA.
func (p PRF) DeriveChild(d, shared Secret, ni, nr []byte, encrID uint16, encrBits int, integID uint16) (*ChildKeys, error) {
	encr, integ, err := KeyLengths(encrID, encrBits, integID)
	if err != nil {
		return nil, err
	}
	all, err := p.Plus(d, 2*(encr+integ), shared.view(), ni, nr)
	if err != nil {
		return nil, err
	}
	c := cutter(all.view())
	k := &ChildKeys{}
	k.EncrI, k.IntegI = c.cut(encr), c.cut(integ)
	k.EncrR, k.IntegR = c.cut(encr), c.cut(integ)
	all.Wipe()
	return k, nil
}

// keyPad is what RFC 7296 2.15 mixes into a pre-shared key.
const keyPad = "Key Pad for IKEv2"

// SignedOctets gives what the AUTH payload of one side signs or authenticates:
// its first message as sent, the other side's nonce, and prf(SK_p, its ID
// payload behind the generic header) (RFC 7296 2.15). skP is SK_pi for the
// initiator's AUTH and SK_pr for the responder's.
func (p PRF) SignedOctets(message, peerNonce []byte, skP Secret, id []byte) []byte {
	out := make([]byte, 0, len(message)+len(peerNonce)+p.size)
	out = append(append(out, message...), peerNonce...)
	return append(out, p.Sum(skP, id)...)
}

// SharedKeyAuth gives the AUTH data of the method Shared Key Message Integrity
// Code: prf(prf(psk, "Key Pad for IKEv2"), signed octets) (RFC 7296 2.15). The
// MSK of an EAP method takes the place of psk in 2.16.
func (p PRF) SharedKeyAuth(psk Secret, signedOctets []byte) []byte {
	return p.Sum(ownSecret(p.Sum(psk, []byte(keyPad))), signedOctets)
}
