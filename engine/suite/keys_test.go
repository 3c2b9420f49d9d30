package suite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestKeyScheduleEqualsNISTSamples(t *testing.T) {
	var file struct {
		Vectors []struct {
			PRF, Group    string
			NI, NR        octets
			GIR           octets
			GIRNew        octets `json:"gir_new"`
			SPII, SPIR    octets
			SKEYSEED      octets
			DKM           octets
			DKMChild      octets `json:"dkm_child"`
			DKMChildDH    octets `json:"dkm_child_dh"`
			SKEYSEEDRekey octets `json:"skeyseed_rekey"`
		}
	}
	readVectors(t, "nist_cavs_ikev2_kdf.json", &file)
	ids := map[string]uint16{"HMAC-SHA-1": wire.PRFHMACSHA1, "HMAC-SHA-256": wire.PRFHMACSHA256, "HMAC-SHA-384": wire.PRFHMACSHA384, "HMAC-SHA-512": wire.PRFHMACSHA512}
	if len(file.Vectors) != 18 {
		t.Fatalf("%d samples", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		p, err := NewPRF(ids[v.PRF])
		if err != nil {
			t.Fatalf("%s: %v", v.PRF, err)
		}
		seed := p.SKEYSEED(v.NI, v.NR, secret(v.GIR))
		if !seed.Equal(secret(v.SKEYSEED)) {
			t.Errorf("%s: SKEYSEED %x", v.Group, seed.Reveal())
		}
		dkm, err := p.Plus(seed, len(v.DKM), v.NI, v.NR, v.SPII, v.SPIR)
		if err != nil || !dkm.Equal(secret(v.DKM)) {
			t.Errorf("%s: DKM %x, %v", v.Group, dkm.Reveal(), err)
		}

		// Cut by the transforms, the same octets come out in the RFC's order.
		tr := IKETransforms{wire.EncrAESCBC, 128, wire.IntegSHA1_96, ids[v.PRF]}
		if n := 3*p.Size() + 2*20 + 2*16; n <= len(v.DKM) {
			k, err := DeriveIKE(tr, seed, v.NI, v.NR, wire.SPI(binary.BigEndian.Uint64(v.SPII)), wire.SPI(binary.BigEndian.Uint64(v.SPIR)))
			if err != nil {
				t.Fatal(err)
			}
			var joined []byte
			for _, s := range []Secret{k.D, k.AI, k.AR, k.EI, k.ER, k.PI, k.PR} {
				joined = append(joined, s.Reveal()...)
			}
			if !bytes.Equal(joined, v.DKM[:n]) {
				t.Errorf("%s: keys %x", v.Group, joined)
			}
		}

		d := secret(v.DKM[:p.Size()])
		for name, c := range map[string]struct {
			shared Secret
			want   octets
		}{"without a key exchange": {Secret{}, v.DKMChild}, "with one": {secret(v.GIRNew), v.DKMChildDH}} {
			k, err := p.DeriveChild(d, c.shared, v.NI, v.NR, wire.EncrAESCBC, 256, wire.IntegSHA1_96)
			if err != nil {
				t.Fatal(err)
			}
			joined := append(k.EncrI.Reveal(), k.IntegI.Reveal()...)
			joined = append(append(joined, k.EncrR.Reveal()...), k.IntegR.Reveal()...)
			if len(joined) != 2*(32+20) || !bytes.Equal(joined, c.want[:len(joined)]) {
				t.Errorf("%s: child keys %s: %x", v.Group, name, joined)
			}
		}
		if rekeyed := p.RekeySKEYSEED(d, secret(v.GIRNew), v.NI, v.NR); !rekeyed.Equal(secret(v.SKEYSEEDRekey)) {
			t.Errorf("%s: SKEYSEED after rekeying %x", v.Group, rekeyed.Reveal())
		}
	}
}

// RFC 7296 2.14: AES-XCBC and AES-CMAC take the first 64 bits of each nonce.
func TestSKEYSEEDOfAESBasedPRFsTakesEightOctetsOfEachNonce(t *testing.T) {
	for _, id := range []uint16{wire.PRFAES128XCBC, wire.PRFAES128CMAC} {
		p, err := NewPRF(id)
		if err != nil {
			t.Fatal(err)
		}
		ni, nr, shared := counting(32), counting(48)[16:], secret(counting(256))
		want := p.Sum(secret(append(append([]byte(nil), ni[:8]...), nr[:8]...)), shared.Reveal())
		if got := p.SKEYSEED(ni, nr, shared); !got.Equal(secret(want)) {
			t.Errorf("%d: %x", id, got.Reveal())
		}
		if got := p.SKEYSEED(nil, ni[:3], shared); got.Len() != 16 {
			t.Errorf("short nonces give %d octets", got.Len())
		}
	}
}

func TestDeriveGivesKeysThatItsCiphersTake(t *testing.T) {
	for _, c := range combinations(t) {
		k := c.ike(t)
		if k == nil {
			continue
		}
		tr := IKETransforms{c.encr, c.bits, c.integ, wire.PRFHMACSHA512}
		keys, err := DeriveIKE(tr, secret(counting(64)), counting(32), counting(32), 1, 2)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		i, r, err := keys.Ciphers(tr)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		sealed, err := i.Seal(nil, nil, []byte("payloads"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Open(nil, nil, sealed); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%v: the responder's key opens the initiator's message: %v", c, err)
		}
		if got, err := i.Open(nil, nil, sealed); err != nil || string(got) != "payloads" {
			t.Errorf("%v: %q, %v", c, got, err)
		}
		keys.Wipe()
		for _, s := range []Secret{keys.D, keys.AI, keys.AR, keys.EI, keys.ER, keys.PI, keys.PR} {
			if !s.Equal(secret(make([]byte, s.Len()))) {
				t.Errorf("%v: a key is left after Wipe", c)
			}
		}
	}
}

func TestDeriveRefusesWhatIsNotSupported(t *testing.T) {
	var unsupported *AlgorithmError
	good := IKETransforms{wire.EncrAESGCM16, 256, 0, wire.PRFHMACSHA256}
	for name, change := range map[string]func(*IKETransforms){
		"PRF":        func(tr *IKETransforms) { tr.PRFID = 99 },
		"encryption": func(tr *IKETransforms) { tr.EncrID = 99 },
		"integrity":  func(tr *IKETransforms) { tr.EncrID, tr.IntegID = wire.EncrAESCBC, 99 },
		"key length": func(tr *IKETransforms) { tr.EncrBits = 0 },
	} {
		tr := good
		change(&tr)
		if _, err := DeriveIKE(tr, secret(counting(32)), nil, nil, 1, 2); !errors.As(err, &unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := NewPRF(wire.PRFHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DeriveChild(secret(counting(32)), Secret{}, nil, nil, 99, 0, 0); !errors.As(err, &unsupported) {
		t.Errorf("child: %v", err)
	}
	k, err := DeriveIKE(good, secret(counting(32)), nil, nil, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	other := good
	other.EncrBits = 128
	var key *KeyError
	if _, _, err := k.Ciphers(other); !errors.As(err, &key) {
		t.Errorf("keys of another length: %v", err)
	}
	k.ER = Secret{}
	if _, _, err := k.Ciphers(good); !errors.As(err, &key) {
		t.Errorf("one key missing: %v", err)
	}
}

func TestChildKeysWipe(t *testing.T) {
	p, err := NewPRF(wire.PRFHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.DeriveChild(secret(counting(32)), Secret{}, counting(32), counting(32), wire.EncrAESCBC, 128, wire.IntegSHA256128)
	if err != nil {
		t.Fatal(err)
	}
	k.Wipe()
	for _, s := range []Secret{k.EncrI, k.IntegI, k.EncrR, k.IntegR} {
		if s.Len() == 0 || !s.Equal(secret(make([]byte, s.Len()))) {
			t.Errorf("a key is left: %d octets", s.Len())
		}
	}
}

// The steps of RFC 7296 2.15, each by prf alone.
func TestSharedKeyAuthFollowsTheRFC(t *testing.T) {
	p, err := NewPRF(wire.PRFHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	message, nonce, id := counting(100), counting(32), []byte{2, 0, 0, 0, 'g', 'w'}
	skP, psk := secret(counting(32)), NewSecret([]byte("swordfish"))
	signed := p.SignedOctets(message, nonce, skP, id)
	want := append(append(append([]byte(nil), message...), nonce...), p.Sum(skP, id)...)
	if !bytes.Equal(signed, want) {
		t.Errorf("signed octets %x", signed)
	}
	padded := p.Sum(psk, []byte("Key Pad for IKEv2"))
	if got := p.SharedKeyAuth(psk, signed); !bytes.Equal(got, p.Sum(secret(padded), want)) {
		t.Errorf("AUTH %x", got)
	}
}
