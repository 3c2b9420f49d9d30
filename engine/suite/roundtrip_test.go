package suite

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// combination is an encryption algorithm with an integrity algorithm.
type combination struct {
	encr  uint16
	bits  int
	integ uint16
}

func (c combination) String() string {
	return fmt.Sprintf("%s-%d/%s", wire.TransformName(wire.TransformEncr, c.encr), c.bits, wire.TransformName(wire.TransformInteg, c.integ))
}

// combinations gives all that the package supports, apart from integrity that
// is not checked.
func combinations(t testing.TB) []combination {
	var list []combination
	for id := range encryptions {
		for _, bits := range []int{0, 128, 192, 256} {
			if _, err := encryptionOf(id, bits); err != nil || (bits != 0 && !AEAD(id) && encryptions[id].key != 0) {
				continue
			}
			if AEAD(id) {
				list = append(list, combination{id, bits, wire.IntegNone})
				continue
			}
			for integ := range integrities {
				list = append(list, combination{id, bits, integ})
			}
		}
	}
	if len(list) < 100 {
		t.Fatalf("only %d combinations", len(list))
	}
	slices.SortFunc(list, func(a, b combination) int {
		return int(a.encr)<<24 - int(b.encr)<<24 + a.bits<<12 - b.bits<<12 + int(a.integ) - int(b.integ)
	})
	return list
}

// keys gives keys of the right length.
func (c combination) keys(t testing.TB) (encr, integ Secret) {
	e, i, err := KeyLengths(c.encr, c.bits, c.integ)
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	return NewSecret(counting(e)), NewSecret(counting(i))
}

func (c combination) esp(t testing.TB, esn bool) *ESPCipher {
	encr, integ := c.keys(t)
	e, err := NewESP(c.encr, c.bits, c.integ, encr, integ, esn)
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	return e
}

// ike gives nil for a combination that IKE does not have.
func (c combination) ike(t testing.TB) *IKECipher {
	encr, integ := c.keys(t)
	k, err := NewIKE(c.encr, c.bits, c.integ, encr, integ)
	var unsupported *AlgorithmError
	if err != nil && !errors.As(err, &unsupported) {
		t.Fatalf("%v: %v", c, err)
	}
	return k
}

func TestESPOpensWhatItSealsInEveryCombination(t *testing.T) {
	for _, c := range combinations(t) {
		for _, esn := range []bool{false, true} {
			e := c.esp(t, esn)
			seq := uint64(77)
			if esn {
				seq |= 5 << 32
			}
			for _, n := range []int{0, 1, 2, 13, 14, 15, 16, 17, 64, 1400} {
				payload := counting(n)
				sealed, err := e.Seal([]byte("front"), 0x11223344, seq, payload, 41)
				if err != nil {
					t.Fatalf("%v: %v", c, err)
				}
				if string(sealed[:5]) != "front" || !bytes.Equal(sealed[5:13], []byte{0x11, 0x22, 0x33, 0x44, 0, 0, 0, 77}) {
					t.Fatalf("%v: begins with %x", c, sealed[:13])
				}
				if len(sealed)-5 != e.PacketLen(n) {
					t.Fatalf("%v: %d octets, PacketLen says %d", c, len(sealed)-5, e.PacketLen(n))
				}
				got, next, err := e.Open([]byte("front"), sealed[5:], 5)
				if err != nil || next != 41 || !bytes.Equal(got, append([]byte("front"), payload...)) {
					t.Fatalf("%v, %d octets: opened to %x, %d, %v", c, n, got, next, err)
				}
			}
		}
	}
}

func TestIKEOpensWhatItSealsInEveryCombination(t *testing.T) {
	aad := counting(32)
	made := 0
	for _, c := range combinations(t) {
		k := c.ike(t)
		if k == nil {
			continue
		}
		made++
		for _, n := range []int{0, 1, 14, 15, 16, 17, 500} {
			// The message grows in one buffer, as an engine builds it.
			sealed, err := k.Seal(aad, aad, counting(n))
			if err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			if !bytes.Equal(sealed[:32], aad) || len(sealed)-32 != k.SealedLen(n) {
				t.Fatalf("%v: %d octets, SealedLen says %d", c, len(sealed)-32, k.SealedLen(n))
			}
			got, err := k.Open([]byte("front"), aad, sealed[32:])
			if err != nil || !bytes.Equal(got, append([]byte("front"), counting(n)...)) {
				t.Fatalf("%v, %d octets: opened to %x, %v", c, n, got, err)
			}
			if _, err := k.Open(nil, aad[:31], sealed[32:]); !errors.Is(err, ErrIntegrity) {
				t.Fatalf("%v: with another header: %v", c, err)
			}
		}
	}
	if made < 60 {
		t.Fatalf("only %d combinations", made)
	}
}

func TestAnyChangedOctetFailsTheIntegrityCheckInEveryCombination(t *testing.T) {
	aad := counting(32)
	for _, c := range combinations(t) {
		e := c.esp(t, true)
		if e.Sizes().ICV == 0 {
			continue // nothing to check
		}
		sealed, err := e.Seal(nil, 1, 2<<32+3, counting(40), 4)
		if err != nil {
			t.Fatal(err)
		}
		for i := range sealed {
			sealed[i] ^= 0x40
			if got, _, err := e.Open(nil, sealed, 2); !errors.Is(err, ErrIntegrity) || got != nil {
				t.Fatalf("%v: octet %d changed: %x, %v", c, i, got, err)
			}
			sealed[i] ^= 0x40
		}
		if k := c.ike(t); k != nil {
			sealed, err := k.Seal(nil, aad, counting(20))
			if err != nil {
				t.Fatal(err)
			}
			for i := range sealed {
				sealed[i] ^= 1
				if got, err := k.Open(nil, aad, sealed); !errors.Is(err, ErrIntegrity) || got != nil {
					t.Fatalf("%v: octet %d changed: %x, %v", c, i, got, err)
				}
				sealed[i] ^= 1
			}
		}
	}
}

func TestInputOfAnyLengthGivesATypedError(t *testing.T) {
	for _, c := range combinations(t) {
		e, k := c.esp(t, false), c.ike(t)
		for n := range 120 {
			var length *LengthError
			if _, _, err := e.Open(nil, make([]byte, n), 0); err == nil || !errors.As(err, &length) && !errors.Is(err, ErrIntegrity) {
				// All zeros without encryption and integrity are a packet.
				if c.encr != wire.EncrNull || c.integ != wire.IntegNone {
					t.Fatalf("%v: ESP of %d octets: %v", c, n, err)
				}
			}
			if k == nil {
				continue
			}
			if _, err := k.Open(nil, nil, make([]byte, n)); err == nil || !errors.As(err, &length) && !errors.Is(err, ErrIntegrity) {
				t.Fatalf("%v: IKE of %d octets: %v", c, n, err)
			}
		}
	}
}

func TestAWrongKeyIsAnIntegrityError(t *testing.T) {
	for _, c := range combinations(t) {
		if c.integ == wire.IntegNone && !AEAD(c.encr) {
			continue
		}
		right := c.esp(t, false)
		e, i := c.keys(t)
		wrongE, wrongI := e.Reveal(), i.Reveal()
		if len(wrongI) > 0 {
			wrongI[0] ^= 1
		} else {
			wrongE[0] ^= 1
		}
		wrong, err := NewESP(c.encr, c.bits, c.integ, NewSecret(wrongE), NewSecret(wrongI), false)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := right.Seal(nil, 1, 1, counting(30), 4)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := wrong.Open(nil, sealed, 0); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestMaxPlainAndMaxPayloadAreTheLargestThatFit(t *testing.T) {
	for _, c := range combinations(t) {
		e, k := c.esp(t, false), c.ike(t)
		for room := 0; room < 200; room++ {
			n := e.MaxPayload(room)
			if n >= 0 && e.PacketLen(n) > room || n >= -1 && e.PacketLen(n+1) <= room || n < -1 && e.PacketLen(0) <= room {
				t.Fatalf("%v: MaxPayload(%d) = %d", c, room, n)
			}
			if k == nil {
				continue
			}
			n = k.MaxPlain(room)
			if n >= 0 && k.SealedLen(n) > room || n >= -1 && k.SealedLen(n+1) <= room || n < -1 && k.SealedLen(0) <= room {
				t.Fatalf("%v: MaxPlain(%d) = %d", c, room, n)
			}
		}
	}
}

func TestInPlaceSealAndOpenGiveTheSame(t *testing.T) {
	for _, c := range combinations(t) {
		e := c.esp(t, true)
		payload := counting(333)
		buf := make([]byte, 1000)
		copy(buf[e.HeaderLen():], payload)
		sealed, err := e.Seal(buf[:0], 7, 8, buf[e.HeaderLen():e.HeaderLen()+333], 4)
		if err != nil {
			t.Fatal(err)
		}
		if &sealed[0] != &buf[0] {
			t.Fatalf("%v: sealed elsewhere", c)
		}
		got, _, err := e.Open(sealed[e.HeaderLen():e.HeaderLen()], sealed, 0)
		if err != nil || !bytes.Equal(got, payload) || &got[0] != &buf[e.HeaderLen()] {
			t.Fatalf("%v: opened to %x, %v", c, got, err)
		}
	}
}

func TestNoTwoSealedPacketsShareAnIV(t *testing.T) {
	for _, c := range combinations(t) {
		e := c.esp(t, false)
		if e.Sizes().IV == 0 {
			continue
		}
		seen := map[string]bool{}
		for range 200 {
			sealed, err := e.Seal(nil, 1, 1, nil, 59)
			if err != nil {
				t.Fatal(err)
			}
			iv := string(sealed[espHeader:e.HeaderLen()])
			if seen[iv] {
				t.Fatalf("%v: IV %x came twice", c, iv)
			}
			seen[iv] = true
		}
	}
}

func TestManyGoroutinesMayShareACipher(t *testing.T) {
	for _, c := range []combination{{wire.EncrAESGCM16, 256, 0}, {wire.EncrAESGCM8, 128, 0}, {wire.EncrAESCBC, 128, wire.IntegSHA256128},
		{wire.EncrAESCTR, 128, wire.IntegAESXCBC96}, {wire.EncrNullAuthAESGMAC, 128, 0}, {wire.EncrAESCCM16, 128, 0}} {
		e := c.esp(t, true)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				payload := bytes.Repeat([]byte{byte(g)}, 100+g)
				for i := range 200 {
					sealed, err := e.Seal(nil, uint32(g), uint64(i), payload, 4)
					if err != nil {
						t.Errorf("%v: %v", c, err)
						return
					}
					if got, _, err := e.Open(nil, sealed, 0); err != nil || !bytes.Equal(got, payload) {
						t.Errorf("%v: %x, %v", c, got, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// allocations is what Seal and Open may cost each. AES-CTR and AES-CCM need a
// new key stream for each packet, which crypto/cipher allocates.
func allocations(c combination) float64 {
	switch encryptions[c.encr].mode {
	case modeCTR:
		return 1
	case modeCCM:
		return 2
	}
	return 0
}

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	for _, c := range combinations(t) {
		if c.encr == wire.EncrAESGCM8 {
			continue // borrows from a sync.Pool, which may be emptied at any time
		}
		e := c.esp(t, true)
		payload := counting(1000)
		buf, out := make([]byte, 0, 1500), make([]byte, 0, 1500)
		n := testing.AllocsPerRun(20, func() {
			sealed, err := e.Seal(buf, 1, 1<<33, payload, 4)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := e.Open(out, sealed, 2); err != nil {
				t.Fatal(err)
			}
		})
		if n > 2*allocations(c) {
			t.Errorf("%v: ESP costs %v allocations", c, n)
		}
		if k := c.ike(t); k != nil {
			aad := counting(32)
			n := testing.AllocsPerRun(20, func() {
				sealed, err := k.Seal(buf, aad, payload)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := k.Open(out, aad, sealed); err != nil {
					t.Fatal(err)
				}
			})
			if n > 2*allocations(c) {
				t.Errorf("%v: IKE costs %v allocations", c, n)
			}
		}
	}
}
