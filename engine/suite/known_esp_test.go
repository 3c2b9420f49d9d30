package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// knownPacket is an ESP packet with all that went into it.
type knownPacket struct {
	name       string
	encr       uint16
	bits       int
	integ      uint16
	key, auth  []byte
	esn        bool
	seq        uint64
	payload    []byte
	nextHeader uint8
	packet     []byte
}

// check seals the payload again, which must give the packet, and opens it.
func (k *knownPacket) check(t *testing.T) {
	t.Helper()
	c, err := NewESP(k.encr, k.bits, k.integ, secret(k.key), secret(k.auth), k.esn)
	if err != nil {
		t.Fatalf("%s: %v", k.name, err)
	}
	got, next, err := c.Open(nil, k.packet, uint32(k.seq>>32))
	if err != nil {
		t.Fatalf("%s: opening: %v", k.name, err)
	}
	if !bytes.Equal(got, k.payload) || next != k.nextHeader {
		t.Fatalf("%s: opened to %x, next header %d; want %x, %d", k.name, got, next, k.payload, k.nextHeader)
	}
	spi := binary.BigEndian.Uint32(k.packet)
	sealed, err := c.seal(nil, spi, k.seq, k.payload, k.nextHeader, k.packet[espHeader:c.HeaderLen()])
	if err != nil {
		t.Fatalf("%s: sealing: %v", k.name, err)
	}
	if !bytes.Equal(sealed, k.packet) {
		t.Fatalf("%s: sealed to\n%x, want\n%x", k.name, sealed, k.packet)
	}
	if c.PacketLen(len(k.payload)) != len(k.packet) {
		t.Fatalf("%s: PacketLen gives %d for a packet of %d", k.name, c.PacketLen(len(k.payload)), len(k.packet))
	}
	if k.esn && c.p.integ.icv > 0 {
		if _, _, err := c.Open(nil, k.packet, uint32(k.seq>>32)+1); !errors.Is(err, ErrIntegrity) {
			t.Fatalf("%s: with another high half: %v", k.name, err)
		}
	}
}

func TestESPEqualsPacketsMadeWithOpenSSL(t *testing.T) {
	var file struct {
		Vectors []struct {
			Encr, Integ uint16
			Bits        int
			Key, Auth   octets
			ESN         bool
			Seq         octets
			Payload     octets
			Packet      octets
		}
	}
	readVectors(t, "openssl_esp.json", &file)
	if len(file.Vectors) < 70 {
		t.Fatalf("only %d packets", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		k := knownPacket{wire.TransformName(wire.TransformEncr, v.Encr), v.Encr, v.Bits, v.Integ, v.Key, v.Auth,
			v.ESN, binary.BigEndian.Uint64(v.Seq), v.Payload, 4, v.Packet}
		k.check(t)
	}
}

func TestESPEqualsDPDKPackets(t *testing.T) {
	var file struct {
		Vectors []struct {
			Name    string
			Input   octets `json:"input_text"`
			Output  octets `json:"output_text"`
			Salt    octets
			IV      octets
			Key     octets
			AuthKey octets `json:"auth_key"`
			Tunnel  string
			AEAD    string `json:"aead_alg"`
			Cipher  string `json:"cipher_alg"`
			Auth    string `json:"auth_alg"`
		}
	}
	readVectors(t, "dpdk_esp.json", &file)
	encr := map[string]uint16{"AES_GCM": wire.EncrAESGCM16, "AES_CCM": wire.EncrAESCCM16, "AES_CBC": wire.EncrAESCBC,
		"AES_CTR": wire.EncrAESCTR, "3DES_CBC": wire.Encr3DES, "DES_CBC": wire.EncrDES, "NULL": wire.EncrNull}
	integ := map[string]uint16{"MD5_HMAC": wire.IntegMD5_96, "SHA256_HMAC": wire.IntegSHA256128, "SHA384_HMAC": wire.IntegSHA384192,
		"SHA512_HMAC": wire.IntegSHA512256, "AES_XCBC_MAC": wire.IntegAESXCBC96, "NULL": wire.IntegNone, "": wire.IntegNone}
	if len(file.Vectors) < 20 {
		t.Fatalf("only %d packets", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		outer, next := 20, uint8(4)
		if v.Tunnel == "IPV6" {
			outer, next = 40, 41
		}
		id, ok := encr[v.AEAD+v.Cipher]
		if !ok {
			t.Fatalf("%s: unknown cipher", v.Name)
		}
		bits := 0
		if id >= wire.EncrAESCBC {
			bits = 8 * len(v.Key)
		}
		esp := v.Output[outer:]
		k := knownPacket{v.Name, id, bits, integ[v.Auth], append(v.Key, v.Salt...), v.AuthKey, false,
			uint64(binary.BigEndian.Uint32(esp[4:])), v.Input, next, esp}
		k.check(t)
	}
}

func TestRFC7634AppendixA(t *testing.T) {
	var file struct {
		Vectors []struct {
			KeyMat octets
			Source octets `json:"source_packet"`
			Packet octets `json:"esp_packet_with_outer_ip"`
		}
	}
	readVectors(t, "rfc7634.json", &file)
	v := file.Vectors[0]
	c, err := NewESP(wire.EncrChaCha20Poly1305, 0, wire.IntegNone, secret(v.KeyMat), Secret{}, false)
	if err != nil {
		t.Fatal(err)
	}
	esp := v.Packet[20:]
	got, next, err := c.Open(nil, esp, 0)
	if err != nil || next != 4 || !bytes.Equal(got, v.Source) {
		t.Fatalf("opened to %x, %d, %v", got, next, err)
	}
	// The appendix pads in its own way, so that sealing again cannot give its
	// very octets; the AEAD under it can.
	s := packet{prefix: esp[:8], iv: esp[8:16], text: append([]byte(nil), append(v.Source, 1, 2, 2, 4)...)}
	buf := append(s.text, make([]byte, 16)...)
	s.text, s.icv = buf[:len(s.text)], buf[len(s.text):]
	if err := c.p.seal(&s); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf, esp[16:]) {
		t.Fatalf("sealed to %x, want %x", buf, esp[16:])
	}
}

func TestRFC3602(t *testing.T) {
	var file struct {
		Vectors []struct {
			Case       int
			Key, IV    octets
			Plaintext  octets
			Ciphertext octets
			Pre        octets
			SPISeq     octets `json:"spi_seq"`
		}
	}
	readVectors(t, "rfc3602.json", &file)
	for _, v := range file.Vectors {
		plain := v.Plaintext
		if v.Case > 4 {
			plain = v.Pre
		}
		p, err := newProtection(wire.EncrAESCBC, 8*len(v.Key), wire.IntegNone, secret(v.Key), Secret{})
		if err != nil {
			t.Fatal(err)
		}
		k := packet{iv: v.IV, text: append([]byte(nil), plain...)}
		if err := p.seal(&k); err != nil || !bytes.Equal(k.text, v.Ciphertext) {
			t.Errorf("case %d: sealed to %x, %v, want %x", v.Case, k.text, err, v.Ciphertext)
		}
		if v.Case > 4 { // an ESP packet, without integrity
			c := ESPCipher{p: p}
			esp := append(append(append([]byte(nil), v.SPISeq...), v.IV...), v.Ciphertext...)
			got, next, err := c.Open(nil, esp, 0)
			if err != nil || next != plain[len(plain)-1] || !bytes.HasPrefix(plain, got) {
				t.Errorf("case %d: opened to %x, %d, %v", v.Case, got, next, err)
			}
		}
	}
}

func TestRFC3686(t *testing.T) {
	var file struct {
		Vectors []struct {
			N          int
			Key, IV    octets
			Nonce      octets
			Plaintext  octets
			Ciphertext octets
		}
	}
	readVectors(t, "rfc3686.json", &file)
	for _, v := range file.Vectors {
		p, err := newProtection(wire.EncrAESCTR, 8*len(v.Key), wire.IntegNone, secret(append(v.Key, v.Nonce...)), Secret{})
		if err != nil {
			t.Fatal(err)
		}
		k := packet{iv: v.IV, text: append([]byte(nil), v.Plaintext...)}
		if err := p.seal(&k); err != nil || !bytes.Equal(k.text, v.Ciphertext) {
			t.Errorf("vector %d: %x, %v, want %x", v.N, k.text, err, v.Ciphertext)
		}
	}
}

func TestWycheproofAEADs(t *testing.T) {
	gcm := func(key []byte) (cipher.AEAD, error) { return newAEAD(&encryption{mode: modeGCM, icv: 16}, key) }
	for name, newAEAD := range map[string]func([]byte) (cipher.AEAD, error){
		"aes_gcm":           gcm,
		"aes_ccm":           func(k []byte) (cipher.AEAD, error) { return newAEAD(&encryption{mode: modeCCM, icv: 16}, k) },
		"chacha20_poly1305": func(k []byte) (cipher.AEAD, error) { return newAEAD(&encryption{mode: modeChaCha}, k) },
	} {
		for _, v := range readWycheproof(t, name) {
			a, err := newAEAD(v.Key)
			if err != nil {
				t.Fatalf("%s %d: %v", name, v.ID, err)
			}
			got, err := a.Open(nil, v.IV, append(append([]byte(nil), v.CT...), v.Tag...), v.AAD)
			if v.Result != "valid" {
				if err == nil {
					t.Errorf("%s %d (%s): opened", name, v.ID, v.Comment)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, v.Msg) {
				t.Errorf("%s %d (%s): opened to %x, %v", name, v.ID, v.Comment, got, err)
			}
			if sealed := a.Seal(nil, v.IV, v.Msg, v.AAD); !bytes.Equal(sealed, append(v.CT, v.Tag...)) {
				t.Errorf("%s %d (%s): sealed to %x", name, v.ID, v.Comment, sealed)
			}
		}
	}
}

// A GCM tag of 8 octets is the first half of the full one (NIST SP 800-38D).
func TestWycheproofGCMWithItsTagCutTo8Octets(t *testing.T) {
	for _, v := range readWycheproof(t, "aes_gcm") {
		a, err := newAEAD(&encryption{mode: modeGCM, icv: 8}, v.Key)
		if err != nil {
			t.Fatal(err)
		}
		if a.NonceSize() != 12 || a.Overhead() != 8 {
			t.Fatalf("nonce of %d, tag of %d", a.NonceSize(), a.Overhead())
		}
		if v.Result == "valid" {
			cut := append(append([]byte(nil), v.CT...), v.Tag[:8]...)
			got, err := a.Open([]byte("x"), v.IV, cut, v.AAD)
			if err != nil || !bytes.Equal(got, append([]byte("x"), v.Msg...)) {
				t.Errorf("%d: opened to %x, %v", v.ID, got, err)
			}
			if sealed := a.Seal(nil, v.IV, v.Msg, v.AAD); !bytes.Equal(sealed, cut) {
				t.Errorf("%d: sealed to %x", v.ID, sealed)
			}
			cut[len(cut)-1] ^= 1
			if _, err := a.Open(nil, v.IV, cut, v.AAD); !errors.Is(err, ErrIntegrity) {
				t.Errorf("%d: with a changed tag: %v", v.ID, err)
			}
		}
		if _, err := a.Open(nil, v.IV, make([]byte, 7), v.AAD); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%d: without room for a tag: %v", v.ID, err)
		}
	}
}

func TestCCMHandlesAssociatedDataOfEveryLengthForm(t *testing.T) {
	block, err := aes.NewCipher(counting(16))
	if err != nil {
		t.Fatal(err)
	}
	c := &ccm{block: block, tag: 12}
	nonce := counting(c.NonceSize())
	seen := map[string]bool{}
	for _, n := range []int{0, 1, 13, 14, 15, 0xfeff, 0xff00, 0xff01, 70000} {
		sealed := c.Seal(nil, nonce, []byte("text"), counting(n))
		if seen[string(sealed)] {
			t.Errorf("%d octets of associated data give a tag seen before", n)
		}
		seen[string(sealed)] = true
		if got, err := c.Open(nil, nonce, sealed, counting(n)); err != nil || string(got) != "text" {
			t.Errorf("%d octets: %q, %v", n, got, err)
		}
		if n > 0 {
			if _, err := c.Open(nil, nonce, sealed, counting(n-1)); !errors.Is(err, ErrIntegrity) {
				t.Errorf("%d octets, one missing: %v", n, err)
			}
		}
	}
	if _, err := c.Open(nil, nonce, make([]byte, 11), nil); !errors.Is(err, ErrIntegrity) {
		t.Errorf("without room for a tag: %v", err)
	}
}
