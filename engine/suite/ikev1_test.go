package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/sha1"
	"errors"
	"testing"
)

func TestIKEv1MessagesChainTheirIVs(t *testing.T) {
	key := NewSecret(counting(16))
	c, err := NewIKEv1(ikev1AES, 2, key)
	if err != nil {
		t.Fatal(err)
	}
	gxi, gxr := counting(128), counting(256)[128:]
	hashed := sha1.Sum(append(append([]byte(nil), gxi...), gxr...))
	iv := c.Phase1IV(gxi, gxr)
	if !bytes.Equal(iv, hashed[:16]) {
		t.Fatalf("IV %x", iv)
	}
	// One CBC run over both messages, as the RFC chains them.
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	sealed := make([]byte, 64)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, counting(64))
	first, next, err := c.Open(iv, sealed[:16])
	if err != nil {
		t.Fatal(err)
	}
	second, last, err := c.Open(next, sealed[16:])
	if err != nil || !bytes.Equal(append(first, second...), counting(64)) || !bytes.Equal(last, sealed[48:]) {
		t.Fatalf("%x %x %x %v", first, second, last, err)
	}
	quick := sha1.Sum(append(append([]byte(nil), last...), 1, 2, 3, 4))
	if iv := c.Phase2IV(last, 0x01020304); !bytes.Equal(iv, quick[:16]) {
		t.Errorf("quick mode IV %x", iv)
	}
}

func TestIKEv1KnowsDESAndTripleDES(t *testing.T) {
	for _, v := range []struct {
		encryption uint16
		key        int
	}{{ikev1DES, 8}, {ikev13DES, 24}} {
		c, err := NewIKEv1(v.encryption, 1, NewSecret(counting(v.key)))
		if err != nil {
			t.Fatal(err)
		}
		hashed := md5.Sum([]byte("ab"))
		if iv := c.Phase1IV([]byte("a"), []byte("b")); !bytes.Equal(iv, hashed[:8]) {
			t.Errorf("%d: IV %x", v.encryption, iv)
		}
		if plain, next, err := c.Open(counting(8), counting(24)); err != nil || len(plain) != 24 || !bytes.Equal(next, counting(24)[16:]) {
			t.Errorf("%d: %x, %x, %v", v.encryption, plain, next, err)
		}
	}
}

func TestIKEv1RefusesWhatDoesNotFit(t *testing.T) {
	var key *KeyError
	if _, err := NewIKEv1(ikev1AES, 2, NewSecret(counting(15))); !errors.As(err, &key) {
		t.Errorf("key: %v", err)
	}
	if _, err := NewIKEv1(3, 2, NewSecret(counting(16))); err == nil {
		t.Error("Blowfish taken")
	}
	if _, err := NewIKEv1(ikev1AES, 3, NewSecret(counting(16))); err == nil {
		t.Error("Tiger taken")
	}
	c, err := NewIKEv1(ikev1AES, 4, NewSecret(counting(32)))
	if err != nil {
		t.Fatal(err)
	}
	var length *LengthError
	for n := range 40 {
		_, _, err := c.Open(counting(16), counting(n))
		if fits := n > 0 && n%16 == 0; fits != (err == nil) || !fits && !errors.As(err, &length) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	if _, _, err := c.Open(counting(8), counting(16)); !errors.As(err, &length) {
		t.Errorf("short IV: %v", err)
	}
}
