package suite

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// benchmarked are the suites that tunnels commonly use, and the slow ones.
var benchmarked = []combination{
	{wire.EncrAESGCM16, 128, wire.IntegNone}, {wire.EncrAESGCM16, 256, wire.IntegNone}, {wire.EncrAESGCM8, 256, wire.IntegNone},
	{wire.EncrChaCha20Poly1305, 0, wire.IntegNone}, {wire.EncrNullAuthAESGMAC, 256, wire.IntegNone}, {wire.EncrAESCCM16, 256, wire.IntegNone},
	{wire.EncrAESCBC, 256, wire.IntegSHA256128}, {wire.EncrAESCTR, 256, wire.IntegSHA256128}, {wire.Encr3DES, 0, wire.IntegSHA1_96},
}

func BenchmarkESPSeal(b *testing.B) {
	for _, c := range benchmarked {
		b.Run(c.String(), func(b *testing.B) {
			e, payload, buf := c.esp(b, true), counting(1400), make([]byte, 0, 1600)
			b.SetBytes(1400)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Seal(buf, 1, 2, payload, 4); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkESPOpen(b *testing.B) {
	for _, c := range benchmarked {
		b.Run(c.String(), func(b *testing.B) {
			e, buf := c.esp(b, true), make([]byte, 0, 1600)
			sealed, err := e.Seal(nil, 1, 2, counting(1400), 4)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(1400)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := e.Open(buf, sealed, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIKEOpen(b *testing.B) {
	for _, c := range []combination{{wire.EncrAESGCM16, 256, wire.IntegNone}, {wire.EncrAESCBC, 256, wire.IntegSHA256128}} {
		b.Run(c.String(), func(b *testing.B) {
			k, aad, buf := c.ike(b), counting(32), make([]byte, 0, 600)
			sealed, err := k.Seal(nil, aad, counting(250))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Open(buf, aad, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKeyExchange(b *testing.B) {
	for _, m := range methods() {
		b.Run(m.String(), func(b *testing.B) {
			k, err := NewKeyExchange(m)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Respond(m, k.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDeriveIKE(b *testing.B) {
	tr := IKETransforms{wire.EncrAESGCM16, 256, wire.IntegNone, wire.PRFHMACSHA256}
	seed, nonce := NewSecret(counting(32)), counting(32)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DeriveIKE(tr, seed, nonce, nonce, 1, 2); err != nil {
			b.Fatal(err)
		}
	}
}
