package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash"
	"sync/atomic"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// protection encrypts, authenticates and undoes both for one key: what an SK
// payload and an ESP packet have in common. Both are a prefix in the clear, an
// IV, a ciphertext and an ICV. Any number of goroutines may use it at once.
type protection struct {
	enc   encryption
	integ integrity
	salt  [4]byte

	aead  cipher.AEAD  // of an AEAD
	block cipher.Block // of CBC and CTR
	mac   Secret       // key of the integrity algorithm

	sent  atomic.Uint64 // the next explicit IV of a counter mode
	spare [4]atomic.Pointer[scratch]
}

// scratch is what one operation needs for itself and the next one can use
// again, so that packets cost no allocation.
type scratch struct {
	nonce                  [16]byte
	aad                    []byte
	mac                    hash.Hash
	sum                    [64]byte
	cbcEncrypt, cbcDecrypt cipher.BlockMode
}

// settable is a CBC mode that takes a new IV, as crypto/aes's and
// crypto/cipher's both do; crypto/tls makes use of the same. One that did not
// would be made anew for each packet.
type settable interface {
	cipher.BlockMode
	SetIV([]byte)
}

// packet is one packet in its parts. For Seal text is the plaintext on entry
// and the ciphertext on return.
type packet struct {
	prefix []byte // in front of the IV, authenticated
	iv     []byte // as on the wire
	text   []byte
	icv    []byte
	seq    uint64 // of an ESP packet, for an implicit IV and an extended sequence number
	// The high half of seq is authenticated, though not sent (ESP only): behind
	// the ciphertext for an integrity algorithm (RFC 4303 2.2.1), between SPI
	// and sequence number for an AEAD (RFC 4106 5).
	extended bool
}

func newProtection(encrID uint16, bits int, integID uint16, encrKey, integKey Secret) (*protection, error) {
	e, err := encryptionOf(encrID, bits)
	if err != nil {
		return nil, err
	}
	p := &protection{enc: e}
	if err := wantLength("encryption key of "+wire.TransformName(wire.TransformEncr, encrID), encrKey, e.material()); err != nil {
		return nil, err
	}
	key := encrKey.view()[:e.key]
	copy(p.salt[:], encrKey.view()[e.key:])

	if e.aead() {
		if integID != wire.IntegNone {
			return nil, &AlgorithmError{wire.TransformInteg, integID, 0,
				wire.TransformName(wire.TransformEncr, encrID) + " brings its own integrity and takes none beside it (RFC 5282 8)"}
		}
		p.integ.icv = e.icv
		p.aead, err = newAEAD(&e, key)
		return p, err
	}

	p.integ, err = integrityOf(integID)
	if err != nil {
		return nil, err
	}
	if err := wantLength("integrity key of "+wire.TransformName(wire.TransformInteg, integID), integKey, p.integ.key); err != nil && !p.integ.unchecked {
		return nil, err
	}
	p.mac = NewSecret(integKey.view())
	switch {
	case e.mode == modeNull:
	case encrID == wire.EncrDES:
		p.block, err = des.NewCipher(key)
	case encrID == wire.Encr3DES:
		p.block, err = des.NewTripleDESCipher(key)
	default:
		p.block, err = aes.NewCipher(key)
	}
	if err != nil {
		return nil, err
	}
	s, err := p.newScratch()
	if err != nil {
		return nil, err
	}
	p.giveBack(s)
	return p, nil
}

func wantLength(what string, key Secret, want int) error {
	if key.Len() != want {
		return &KeyError{what, fmt.Sprintf("%d octets where %d are needed", key.Len(), want)}
	}
	return nil
}

// Sizes gives the lengths that the algorithms put on the wire.
func (p *protection) Sizes() Sizes {
	return Sizes{IV: p.enc.iv, Block: p.enc.block, ICV: p.integ.icv}
}

func (p *protection) newScratch() (*scratch, error) {
	s := &scratch{}
	var err error
	switch {
	case p.integ.hash != nil:
		s.mac = hmac.New(p.integ.hash, p.mac.view())
	case p.integ.blockMAC != nil:
		s.mac, err = p.integ.blockMAC(p.mac.view())
	}
	return s, err
}

// cbc runs a CBC mode with a new IV. The mode is made on first use, as most
// ciphers only ever seal or only ever open.
func (p *protection) cbc(kept *cipher.BlockMode, create func(cipher.Block, []byte) cipher.BlockMode, iv, dst, src []byte) {
	if s, ok := (*kept).(settable); ok {
		s.SetIV(iv)
	} else {
		*kept = create(p.block, iv)
	}
	(*kept).CryptBlocks(dst, src)
}

func (p *protection) borrow() (*scratch, error) {
	for i := range p.spare {
		if s := p.spare[i].Swap(nil); s != nil {
			return s, nil
		}
	}
	return p.newScratch()
}

func (p *protection) giveBack(s *scratch) {
	for i := range p.spare {
		if p.spare[i].CompareAndSwap(nil, s) {
			return
		}
	}
}

// fillIV writes the IV of a packet to be sent: unpredictable for CBC (RFC 3602
// 3), never the same twice for counter modes (RFC 5282 7.1).
func (p *protection) fillIV(iv []byte) {
	switch p.enc.mode {
	case modeNull:
	case modeCBC:
		_, _ = rand.Read(iv) // never fails since Go 1.24
	default:
		if !p.enc.implicitIV {
			binary.BigEndian.PutUint64(iv, p.sent.Add(1)-1)
		}
	}
}

// nonce assembles salt and IV in the scratch.
func (p *protection) nonce(s *scratch, k *packet) []byte {
	n := copy(s.nonce[:], p.salt[:p.enc.salt])
	if p.enc.implicitIV {
		binary.BigEndian.PutUint64(s.nonce[n:], k.seq)
	} else {
		copy(s.nonce[n:], k.iv[:8])
	}
	return s.nonce[:n+8]
}

// associated gives what the AEAD authenticates beside the text.
func (p *protection) associated(s *scratch, k *packet) []byte {
	if p.enc.mode != modeGMAC && !k.extended {
		return k.prefix
	}
	aad := s.aad[:0]
	if k.extended {
		aad = append(aad, k.prefix[:4]...)
		aad = binary.BigEndian.AppendUint32(aad, uint32(k.seq>>32))
		aad = append(aad, k.prefix[4:]...)
	} else {
		aad = append(aad, k.prefix...)
	}
	if p.enc.mode == modeGMAC {
		aad = append(append(aad, k.iv...), k.text...) // RFC 4543 3.3
	}
	s.aad = aad
	return aad
}

// ctr runs AES-CTR as RFC 3686 4 and RFC 5930 have it: nonce, IV, and a block
// counter that starts at one.
func (p *protection) ctr(s *scratch, k *packet, dst []byte) {
	n := copy(s.nonce[:], p.salt[:])
	n += copy(s.nonce[n:], k.iv)
	binary.BigEndian.PutUint32(s.nonce[n:], 1)
	cipher.NewCTR(p.block, s.nonce[:]).XORKeyStream(dst, k.text)
}

// checksum gives the ICV of prefix, IV and ciphertext.
func (p *protection) checksum(s *scratch, k *packet) []byte {
	if s.mac == nil {
		return nil
	}
	s.mac.Reset()
	_, _ = s.mac.Write(k.prefix) // a hash never fails
	_, _ = s.mac.Write(k.iv)
	_, _ = s.mac.Write(k.text)
	if k.extended {
		high := binary.BigEndian.AppendUint32(s.sum[:0], uint32(k.seq>>32))
		_, _ = s.mac.Write(high)
	}
	return s.mac.Sum(s.sum[:0])[:p.integ.icv]
}

// seal encrypts k.text in place and writes k.icv, which lies behind it.
func (p *protection) seal(k *packet) error {
	if p.integ.unchecked {
		return &AlgorithmError{wire.TransformInteg, p.integ.id, 0, "stands for an unknown algorithm and cannot be made, only cut off"}
	}
	s, err := p.borrow()
	if err != nil {
		return err
	}
	switch p.enc.mode {
	case modeGMAC:
		p.aead.Seal(k.icv[:0], p.nonce(s, k), nil, p.associated(s, k))
	case modeNull, modeCBC, modeCTR:
		switch p.enc.mode {
		case modeCBC:
			p.cbc(&s.cbcEncrypt, cipher.NewCBCEncrypter, k.iv, k.text, k.text)
		case modeCTR:
			p.ctr(s, k, k.text)
		}
		copy(k.icv, p.checksum(s, k))
	default:
		p.aead.Seal(k.text[:0], p.nonce(s, k), k.text, p.associated(s, k))
	}
	p.giveBack(s)
	return nil
}

// open checks k.icv and decrypts k.text into dst, which has its length. The
// ICV must lie right behind the text.
func (p *protection) open(dst []byte, k *packet) error {
	s, err := p.borrow()
	if err != nil {
		return err
	}
	defer p.giveBack(s)
	switch p.enc.mode {
	case modeGMAC:
		if _, err := p.aead.Open(nil, p.nonce(s, k), k.icv, p.associated(s, k)); err != nil {
			return ErrIntegrity
		}
		copy(dst, k.text)
	case modeNull, modeCBC, modeCTR:
		if !p.integ.unchecked && !hmac.Equal(p.checksum(s, k), k.icv) {
			return ErrIntegrity
		}
		switch p.enc.mode {
		case modeNull:
			copy(dst, k.text)
		case modeCBC:
			p.cbc(&s.cbcDecrypt, cipher.NewCBCDecrypter, k.iv, dst, k.text)
		case modeCTR:
			p.ctr(s, k, dst)
		}
	default:
		sealed := k.text[:len(k.text)+len(k.icv)]
		if _, err := p.aead.Open(dst[:0], p.nonce(s, k), sealed, p.associated(s, k)); err != nil {
			return ErrIntegrity
		}
	}
	return nil
}
