package suite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestAlgorithmsAndKeysThatDoNotFitAreRefusedByName(t *testing.T) {
	k := func(n int) Secret { return NewSecret(counting(n)) }
	for _, c := range []struct {
		name        string
		encr        uint16
		bits        int
		integ       uint16
		key, auth   Secret
		esp, ike    string // what the error says, "" where there is none
		keyTrouble  bool
		integration bool
	}{
		{name: "unknown cipher", encr: wire.EncrBlowfish, bits: 128, key: k(16), esp: "ENCR BLOWFISH: not supported", ike: "ENCR BLOWFISH: not supported"},
		{name: "AES without a key length", encr: wire.EncrAESCBC, integ: wire.IntegSHA1_96, key: k(16), auth: k(20),
			esp: "must be 128, 192 or 256 bits, not 0", ike: "must be 128, 192 or 256 bits, not 0"},
		{name: "AES with a strange key length", encr: wire.EncrAESGCM16, bits: 160, key: k(24), esp: "not 160", ike: "not 160"},
		{name: "3DES with a wrong key length", encr: wire.Encr3DES, bits: 128, integ: wire.IntegSHA1_96, key: k(24), auth: k(20),
			esp: "fixed to 192 bits, not 128", ike: "fixed to 192 bits, not 128"},
		{name: "NULL with a key length", encr: wire.EncrNull, bits: 128, integ: wire.IntegSHA1_96, auth: k(20), esp: "it has no key", ike: "it has no key"},
		{name: "salt missing", encr: wire.EncrAESGCM16, bits: 256, key: k(32), esp: "32 octets where 36 are needed", ike: "32 octets where 36 are needed", keyTrouble: true},
		{name: "short integrity key", encr: wire.EncrAESCBC, bits: 128, integ: wire.IntegSHA256128, key: k(16), auth: k(31),
			esp: "integrity key of HMAC_SHA2_256_128: 31 octets where 32", ike: "31 octets where 32", keyTrouble: true},
		{name: "unknown integrity", encr: wire.EncrAESCBC, bits: 128, integ: wire.IntegDESMAC, key: k(16), auth: k(8),
			esp: "INTEG DES_MAC: not supported", ike: "INTEG DES_MAC: not supported"},
		{name: "integrity beside an AEAD", encr: wire.EncrAESGCM16, bits: 128, integ: wire.IntegSHA1_96, key: k(20), auth: k(20),
			esp: "AES_GCM_16 brings its own integrity", ike: "brings its own integrity"},
		{name: "NULL", encr: wire.EncrNull, integ: wire.IntegSHA1_96, auth: k(20), ike: "does not exist in IKE"},
		{name: "GMAC", encr: wire.EncrNullAuthAESGMAC, bits: 128, key: k(20), ike: "does not exist in IKE"},
		{name: "implicit IV", encr: wire.EncrAESGCM16IIV, bits: 128, key: k(20), ike: "does not exist in IKE"},
		{name: "no integrity", encr: wire.EncrAESCBC, bits: 128, key: k(16), ike: "IKE needs an integrity algorithm beside AES_CBC"},
	} {
		check := func(kind, want string, err error) {
			if want == "" {
				if err != nil {
					t.Errorf("%s: %s: %v", c.name, kind, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s: error %v, want %q", c.name, kind, err, want)
				return
			}
			var key *KeyError
			var algorithm *AlgorithmError
			if errors.As(err, &key) != c.keyTrouble || errors.As(err, &algorithm) == c.keyTrouble {
				t.Errorf("%s: %s: error is a %T", c.name, kind, err)
			}
		}
		_, err := NewESP(c.encr, c.bits, c.integ, c.key, c.auth, false)
		check("ESP", c.esp, err)
		_, err = NewIKE(c.encr, c.bits, c.integ, c.key, c.auth)
		check("IKE", c.ike, err)
	}
}

func TestKeyLengthsCountTheSalt(t *testing.T) {
	for _, c := range []struct {
		encr        uint16
		bits        int
		integ       uint16
		key, auth   int
		unsupported bool
	}{
		{wire.EncrAESGCM16, 256, wire.IntegNone, 36, 0, false},
		{wire.EncrAESCCM8, 128, wire.IntegNone, 19, 0, false},
		{wire.EncrAESCTR, 192, wire.IntegSHA1_96, 28, 20, false},
		{wire.EncrChaCha20Poly1305, 0, wire.IntegNone, 36, 0, false},
		{wire.EncrChaCha20Poly1305, 256, wire.IntegNone, 36, 0, false},
		{wire.EncrAESCBC, 256, wire.IntegSHA512256, 32, 64, false},
		{wire.Encr3DES, 0, wire.IntegMD5_96, 24, 16, false},
		{wire.EncrNull, 0, IntegUnchecked + 12, 0, 0, false},
		{wire.EncrCAST, 128, wire.IntegMD5_96, 0, 0, true},
		{wire.EncrNull, 0, IntegUnchecked + 65, 0, 0, true},
	} {
		key, auth, err := KeyLengths(c.encr, c.bits, c.integ)
		if key != c.key || auth != c.auth || (err != nil) != c.unsupported {
			t.Errorf("%d/%d/%d: %d, %d, %v", c.encr, c.bits, c.integ, key, auth, err)
		}
	}
	if !AEAD(wire.EncrNullAuthAESGMAC) || !AEAD(wire.EncrAESGCM8) || AEAD(wire.EncrAESCBC) || AEAD(9999) {
		t.Error("AEAD is wrong")
	}
}

func TestSequenceNumbersAbove32BitsNeedESN(t *testing.T) {
	c := combination{wire.EncrAESGCM16, 128, 0}
	if _, err := c.esp(t, false).Seal(nil, 1, 1<<32, nil, 4); err == nil {
		t.Error("sealed without ESN")
	}
	if e := c.esp(t, true); !e.ESN() {
		t.Error("ESN forgotten")
	} else if _, err := e.Seal(nil, 1, 1<<32, nil, 4); err != nil {
		t.Error(err)
	}
}

func TestUncheckedIntegrityIsCutOffForReadingOnly(t *testing.T) {
	right := combination{wire.EncrAESCBC, 128, wire.IntegSHA256128}.esp(t, false)
	key, _ := combination{wire.EncrAESCBC, 128, wire.IntegNone}.keys(t)
	blind, err := NewESP(wire.EncrAESCBC, 128, IntegUnchecked+16, key, Secret{}, false)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := right.Seal(nil, 1, 1, counting(21), 6)
	if err != nil {
		t.Fatal(err)
	}
	sealed[len(sealed)-1] ^= 1
	got, next, err := blind.Open(nil, sealed, 0)
	if err != nil || next != 6 || !bytes.Equal(got, counting(21)) {
		t.Fatalf("%x, %d, %v", got, next, err)
	}
	var unsupported *AlgorithmError
	if _, err := blind.Seal(nil, 1, 1, nil, 6); !errors.As(err, &unsupported) {
		t.Fatalf("sealing: %v", err)
	}
	// With nothing else to go by, padding tells most wrong keys.
	wrong, err := NewESP(wire.EncrAESCBC, 128, IntegUnchecked+16, NewSecret(make([]byte, 16)), Secret{}, false)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 50 {
		sealed, err := right.Seal(nil, 1, uint64(i), counting(21), 6)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := wrong.Open(nil, sealed, 0); errors.Is(err, ErrIntegrity) {
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("only %d of 50 refused", refused)
	}
}

// Padding that claims more octets than there are comes from a peer with the
// right keys.
func TestPaddingLongerThanThePayloadIsALengthError(t *testing.T) {
	var length *LengthError
	for _, c := range []combination{{wire.EncrAESGCM16, 128, 0}, {wire.EncrAESCBC, 128, wire.IntegSHA1_96}, {wire.EncrAESCTR, 128, wire.IntegSHA1_96}} {
		e, k := c.esp(t, false), c.ike(t)
		z := e.Sizes()
		esp := make([]byte, espHeader+z.IV+16+z.ICV)
		text := esp[espHeader+z.IV:][:16]
		text[14] = 15 // pad length; 14 octets are in front of it
		if err := e.p.seal(&packet{prefix: esp[:espHeader], iv: esp[espHeader:][:z.IV], text: text, icv: esp[len(esp)-z.ICV:]}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Open(nil, esp, 0); !errors.As(err, &length) || errors.Is(err, ErrIntegrity) {
			t.Errorf("%v: ESP: %v", c, err)
		}
		ike := make([]byte, z.IV+16+z.ICV)
		text = ike[z.IV:][:16]
		text[15] = 16
		if err := k.p.seal(&packet{iv: ike[:z.IV], text: text, icv: ike[len(ike)-z.ICV:]}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(nil, nil, ike); !errors.As(err, &length) {
			t.Errorf("%v: IKE: %v", c, err)
		}
	}
}

func TestErrorsSayWhatHowLongAndWhatIsNeeded(t *testing.T) {
	e := combination{wire.EncrAESCBC, 128, wire.IntegSHA1_96}.esp(t, false)
	_, _, err := e.Open(nil, make([]byte, 9), 0)
	if err == nil || err.Error() != "ESP packet of 9 octets: at least 52 octets of header, IV, ciphertext and ICV are needed" {
		t.Errorf("%v", err)
	}
	_, _, err = e.Open(nil, make([]byte, 8+16+17+12), 0)
	if err == nil || err.Error() != "ciphertext of 17 octets: not a multiple of the block of 16 octets" {
		t.Errorf("%v", err)
	}
	k := combination{wire.EncrAESCBC, 128, wire.IntegSHA1_96}.ike(t)
	if _, err = k.Open(nil, nil, make([]byte, 16+17+12)); err == nil || !strings.HasPrefix(err.Error(), "ciphertext of 17 octets") {
		t.Errorf("%v", err)
	}
}

func TestRFC7634AppendixB(t *testing.T) {
	var file struct {
		Vectors []struct {
			KeyMat  octets
			Notify  octets
			Message octets `json:"ike_message"`
		}
	}
	readVectors(t, "rfc7634.json", &file)
	v := file.Vectors[1]
	k, err := NewIKE(wire.EncrChaCha20Poly1305, 0, wire.IntegNone, secret(v.KeyMat), Secret{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Open(nil, v.Message[:32], v.Message[32:])
	if err != nil || !bytes.Equal(got, v.Notify) {
		t.Fatalf("opened to %x, %v", got, err)
	}
	sealed, err := k.seal(v.Message[:32:32], v.Message[:32], v.Notify, v.Message[32:40])
	if err != nil || !bytes.Equal(sealed, v.Message) {
		t.Fatalf("sealed to %x, %v", sealed, err)
	}
}

func TestARecordedSessionOpensWithItsDerivedKeys(t *testing.T) {
	var s struct {
		NI, NR, GIR, SPII, SPIR, SKEYSEED octets
		D                                 octets `json:"sk_d"`
		AI                                octets `json:"sk_ai"`
		AR                                octets `json:"sk_ar"`
		EI                                octets `json:"sk_ei"`
		ER                                octets `json:"sk_er"`
		PI                                octets `json:"sk_pi"`
		PR                                octets `json:"sk_pr"`
		Messages                          []struct{ Hex octets }
	}
	readVectors(t, "virtualvpn_session.json", &s)
	tr := IKETransforms{wire.EncrAESCBC, 128, wire.IntegSHA256128, wire.PRFHMACSHA256}
	p, err := NewPRF(tr.PRFID)
	if err != nil {
		t.Fatal(err)
	}
	seed := p.SKEYSEED(s.NI, s.NR, secret(s.GIR))
	if !seed.Equal(secret(s.SKEYSEED)) {
		t.Fatalf("SKEYSEED %x", seed.Reveal())
	}
	keys, err := DeriveIKE(tr, seed, s.NI, s.NR, wire.SPI(binary.BigEndian.Uint64(s.SPII)), wire.SPI(binary.BigEndian.Uint64(s.SPIR)))
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]Secret{"d": {keys.D, secret(s.D)}, "ai": {keys.AI, secret(s.AI)}, "ar": {keys.AR, secret(s.AR)},
		"ei": {keys.EI, secret(s.EI)}, "er": {keys.ER, secret(s.ER)}, "pi": {keys.PI, secret(s.PI)}, "pr": {keys.PR, secret(s.PR)}} {
		if !pair[0].Equal(pair[1]) {
			t.Errorf("SK_%s is %x", name, pair[0].Reveal())
		}
	}
	i, r, err := keys.Ciphers(tr)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for n, m := range s.Messages {
		msg := m.Hex
		if len(msg) > 4 && binary.BigEndian.Uint32(msg) == 0 {
			msg = msg[4:] // the marker of port 4500
		}
		if len(msg) < 32 || msg[16] != 46 {
			continue
		}
		c := r
		if msg[19]&0x08 != 0 {
			c = i
		}
		if _, err := c.Open(nil, msg[:32], msg[32:]); err != nil {
			t.Errorf("message %d: %v", n, err)
			continue
		}
		opened++
	}
	if opened < 4 {
		t.Errorf("only %d messages opened", opened)
	}
}
