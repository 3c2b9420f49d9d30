package dissect

import (
	"hash/maphash"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const (
	maxV1SAs       = 4096
	maxV1Exchanges = 256 // message ids remembered per ISAKMP SA
	maxV1Messages  = 64  // messages remembered per exchange, for retransmissions

	errV1Start = "the start of the IKEv1 exchange was not captured: its IV is not known"
	errV1Key   = "wrong key: what was decrypted is no IKEv1 payload chain"
)

// v1State is what the decryption of an ISAKMP SA's messages hangs on: the IV
// of each message is the last block of ciphertext of the one before it
// (RFC 2409 appendix B).
type v1State struct {
	encr, hash uint16 // attribute values
	made       *suite.IKEv1Cipher
	initiator  []byte // its public value, g^xi
	responder  []byte
	phase1     []byte // last block of ciphertext of phase 1
	exchanges  map[uint32]*v1Exchange
}

// v1Exchange is one message id of an ISAKMP SA.
type v1Exchange struct {
	iv  []byte            // of the next message
	ivs map[uint64][]byte // of the messages seen, for retransmissions
}

// v1Keys opens the encrypted messages of IKEv1.
type v1Keys struct {
	seed maphash.Seed
	sas  map[[2]wire.SPI]*v1State
}

func newV1Keys() v1Keys {
	return v1Keys{seed: maphash.MakeSeed(), sas: make(map[[2]wire.SPI]*v1State)}
}

// openV1 learns from the messages of phase 1 in the clear and decrypts the
// others.
func (k *decrypter) openV1(d *Dissector) {
	m := &d.message
	sealed, ok := sealedV1(m)
	s := k.v1.state(m)
	if s == nil {
		return
	}
	if !ok {
		s.learn(m)
		return
	}
	keys := k.tables.IKEv1(m.InitiatorSPI)
	if keys == nil {
		d.ike.DecryptError = errNoKey
		return
	}
	cipher, failure := s.cipher(keys.Key)
	if failure != "" {
		d.ike.DecryptError = failure
		return
	}
	x := s.exchange(cipher, m.MessageID)
	if x == nil {
		d.ike.DecryptError = errV1Start
		return
	}
	id := maphash.Bytes(k.v1.seed, d.packet.Octets)
	iv := x.ivs[id]
	if iv == nil {
		iv = x.iv
	}
	plain, next, err := cipher.Open(iv, sealed.Data)
	if err != nil {
		d.ike.DecryptError = err.Error()
		return
	}
	inner, problems := wire.ParsePayloads(sealed.First, m.Version, plain)
	if len(inner) == 0 || wire.FirstFatal(problems) != nil {
		// There is no integrity check: a chain that makes no sense is the only
		// sign.
		d.ike.DecryptError = errV1Key
		return
	}
	if len(x.ivs) < maxV1Messages {
		x.ivs[id] = iv
	}
	x.iv = next
	if m.MessageID == 0 {
		s.phase1 = next
	}
	d.ike.Decrypted = true
	d.ike.Plain, d.ike.Inner, d.ike.InnerProblems = plain, inner, problems
}

// sealedV1 gives the encrypted part of an IKEv1 message.
func sealedV1(m *wire.Message) (*wire.V1Encrypted, bool) {
	if len(m.Payloads) != 1 {
		return nil, false
	}
	e, ok := m.Payloads[0].Body.(*wire.V1Encrypted)
	return e, ok
}

// state finds or makes the state of an ISAKMP SA. Before the responder has
// chosen its cookie, the initiator's alone names it.
func (k *v1Keys) state(m *wire.Message) *v1State {
	id := [2]wire.SPI{m.InitiatorSPI, m.ResponderSPI}
	if s := k.sas[id]; s != nil {
		return s
	}
	young := [2]wire.SPI{m.InitiatorSPI, 0}
	if s := k.sas[young]; s != nil {
		delete(k.sas, young)
		k.sas[id] = s
		return s
	}
	if len(k.sas) >= maxV1SAs {
		clear(k.sas)
	}
	s := &v1State{exchanges: make(map[uint32]*v1Exchange)}
	k.sas[id] = s
	return s
}

// learn takes the algorithms and public values from messages of phase 1.
func (s *v1State) learn(m *wire.Message) {
	if m.Exchange != wire.ExchangeV1Main && m.Exchange != wire.ExchangeV1Aggressive {
		return
	}
	for i := range m.Payloads {
		switch body := m.Payloads[i].Body.(type) {
		case *wire.V1SA:
			// The initiator's offer comes first, the responder's choice last.
			if len(body.Proposals) > 0 && len(body.Proposals[0].Transforms) > 0 {
				s.choose(body.Proposals[0].Transforms[0].Attributes)
			}
		case *wire.V1KE:
			value := append([]byte(nil), body.Data...)
			if s.initiator == nil {
				s.initiator = value
			} else if s.responder == nil && string(value) != string(s.initiator) {
				s.responder = value
			}
		}
	}
}

func (s *v1State) choose(attributes []wire.Attribute) {
	for _, a := range attributes {
		switch a.Type {
		case wire.V1AttrEncryption:
			s.encr = a.Value
		case wire.V1AttrHash:
			s.hash = a.Value
		}
	}
}

// cipher makes the cipher of an ISAKMP SA once its algorithms are known.
func (s *v1State) cipher(key suite.Secret) (*suite.IKEv1Cipher, string) {
	if s.encr == 0 {
		return nil, errV1Start
	}
	if s.made == nil {
		var err error
		if s.made, err = suite.NewIKEv1(s.encr, s.hash, key); err != nil {
			return nil, "key table: " + err.Error()
		}
	}
	return s.made, ""
}

// exchange finds or starts the chain of IVs of a message id: phase 1 starts
// from the public values, every later exchange from the last block of phase 1
// and its message id. It gives nil where the capture lacks them.
func (s *v1State) exchange(c *suite.IKEv1Cipher, id uint32) *v1Exchange {
	if x := s.exchanges[id]; x != nil {
		return x
	}
	start := s.phase1
	if start == nil {
		// The first encrypted message, or aggressive mode that encrypted none.
		if s.initiator == nil || s.responder == nil {
			return nil
		}
		start = c.Phase1IV(s.initiator, s.responder)
	}
	if id != 0 {
		start = c.Phase2IV(start, id)
	}
	if len(s.exchanges) >= maxV1Exchanges {
		clear(s.exchanges)
	}
	x := &v1Exchange{iv: start, ivs: make(map[uint64][]byte)}
	s.exchanges[id] = x
	return x
}
