package suite

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func methods() []wire.KEMethod {
	var list []wire.KEMethod
	for m := range wire.KEMethod(64) {
		if CanExchange(m) {
			list = append(list, m)
		}
	}
	return list
}

func TestBothSidesOfEveryMethodAgree(t *testing.T) {
	if len(methods()) != 7+3+4+2 {
		t.Fatalf("methods %v", methods())
	}
	for _, m := range methods() {
		k, err := NewKeyExchange(m)
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		public, responder, err := Respond(m, k.Public())
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		initiator, err := k.Shared(public)
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		if k.Method() != m || initiator.Len() < 32 || !initiator.Equal(responder) {
			t.Errorf("%v: %v and %v differ", m, initiator, responder)
		}
		other, err := NewKeyExchange(m)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(other.Public(), k.Public()) {
			t.Errorf("%v: two keys are the same", m)
		}
	}
}

func TestEveryMethodRefusesPublicValuesOfOtherLengths(t *testing.T) {
	for _, m := range methods() {
		k, err := NewKeyExchange(m)
		if err != nil {
			t.Fatal(err)
		}
		var bad *KeyError
		for _, n := range []int{0, 1, 31, len(k.Public()) - 1, len(k.Public()) + 1} {
			if _, err := k.Shared(make([]byte, n)); !errors.As(err, &bad) {
				t.Errorf("%v: %d octets: %v", m, n, err)
			}
			if _, _, err := Respond(m, make([]byte, n)); !errors.As(err, &bad) || !strings.Contains(err.Error(), m.String()) {
				t.Errorf("%v: responding to %d octets: %v", m, n, err)
			}
		}
	}
}

func TestUnknownMethodsAreAlgorithmErrors(t *testing.T) {
	var unsupported *AlgorithmError
	for _, m := range []wire.KEMethod{wire.KENone, wire.KECurve448, wire.KEMLKEM512, wire.KEECP224, 65000} {
		if _, err := NewKeyExchange(m); CanExchange(m) || !errors.As(err, &unsupported) {
			t.Errorf("%v: %v", m, err)
		}
		if _, _, err := Respond(m, make([]byte, 32)); !errors.As(err, &unsupported) {
			t.Errorf("%v: %v", m, err)
		}
	}
}

// fixed makes a key exchange with a given private key.
func fixed(t *testing.T, m wire.KEMethod, private []byte) KeyExchange {
	t.Helper()
	if c, ok := curves[m]; ok {
		k, err := c.curve.NewPrivateKey(private)
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		return &curveKey{m, c, k}
	}
	g, ok := modpOf(m)
	if !ok {
		t.Fatalf("no group %v", m)
	}
	return modpWith(m, g, new(big.Int).SetBytes(private))
}

func TestRFC5903(t *testing.T) {
	var file struct {
		Vectors []struct {
			Group              wire.KEMethod
			I, R, GIRX         octets
			KEi                octets `json:"KEi_payload"`
			KEr                octets `json:"KEr_payload"`
			GIX, GIY, GRX, GRY octets
		}
	}
	readVectors(t, "rfc5903.json", &file)
	for _, v := range file.Vectors {
		i, r := fixed(t, v.Group, v.I), fixed(t, v.Group, v.R)
		if !bytes.Equal(i.Public(), v.KEi[8:]) || !bytes.Equal(r.Public(), v.KEr[8:]) {
			t.Errorf("%v: public values %x and %x", v.Group, i.Public(), r.Public())
		}
		for _, side := range []struct {
			k    KeyExchange
			peer []byte
		}{{i, append(v.GRX, v.GRY...)}, {r, append(v.GIX, v.GIY...)}} {
			s, err := side.k.Shared(side.peer)
			if err != nil || !s.Equal(secret(v.GIRX)) {
				t.Errorf("%v: shared %x, %v", v.Group, s.Reveal(), err)
			}
		}
	}
}

func TestRFC8031(t *testing.T) {
	var file struct {
		Vectors []struct {
			I      octets `json:"fixed_i"`
			R      octets `json:"fixed_r"`
			PubI   octets `json:"pub_i"`
			PubR   octets `json:"pub_r"`
			Shared octets
		}
	}
	readVectors(t, "rfc8031.json", &file)
	v := file.Vectors[0]
	i, r := fixed(t, wire.KECurve25519, v.I), fixed(t, wire.KECurve25519, v.R)
	s, err := i.Shared(r.Public())
	if err != nil || !bytes.Equal(i.Public(), v.PubI) || !bytes.Equal(r.Public(), v.PubR) || !s.Equal(secret(v.Shared)) {
		t.Errorf("%x, %x, %x, %v", i.Public(), r.Public(), s.Reveal(), err)
	}
}

func TestRFC5114(t *testing.T) {
	var file struct {
		Vectors []struct {
			Group             wire.KEMethod
			XA, YA, XB, YB, Z octets
		}
	}
	readVectors(t, "rfc5114.json", &file)
	if len(file.Vectors) != len(subgroups) {
		t.Fatalf("%d groups", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		a, b := fixed(t, v.Group, v.XA), fixed(t, v.Group, v.XB)
		if !bytes.Equal(a.Public(), v.YA) || !bytes.Equal(b.Public(), v.YB) {
			t.Errorf("%v: public values %x and %x", v.Group, a.Public(), b.Public())
		}
		for _, pair := range [][2]KeyExchange{{a, b}, {b, a}} {
			if s, err := pair[0].Shared(pair[1].Public()); err != nil || !s.Equal(secret(v.Z)) {
				t.Errorf("%v: shared %x, %v", v.Group, s.Reveal(), err)
			}
		}
	}
}

// The last digits in front of the final 64 ones, as RFC 2409 6.2 and RFC 3526
// print them, depend on every digit of pi that the formula takes.
func TestSafePrimesAreThoseOfTheRFCs(t *testing.T) {
	for m, tail := range map[wire.KEMethod]string{
		wire.KEModp1024: "49286651ece65381", wire.KEModp1536: "f1746c08ca237327", wire.KEModp2048: "15728e5a8aacaa68",
		wire.KEModp3072: "4b82d120a93ad2ca", wire.KEModp4096: "4df435c934063199", wire.KEModp6144: "e694f91e6dcc4024",
		wire.KEModp8192: "60c980dd98edd3df",
	} {
		g, ok := modpOf(m)
		if !ok {
			t.Fatalf("no group %v", m)
		}
		hex := g.p.Text(16)
		if !strings.HasPrefix(hex, "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1") || !strings.HasSuffix(hex, tail+"ffffffffffffffff") {
			t.Errorf("%v: prime %s", m, hex)
		}
		if len(hex) != 2*g.size || g.exponent < 256 || g.g.Int64() != 2 {
			t.Errorf("%v: %d octets, exponent of %d bits", m, g.size, g.exponent)
		}
		if g.p.BitLen() <= 4096 && !g.p.ProbablyPrime(1) || g.p.BitLen() <= 2048 && !new(big.Int).Rsh(g.p, 1).ProbablyPrime(1) {
			t.Errorf("%v: not a safe prime", m)
		}
	}
}

func TestSubgroupsHaveTheirOrder(t *testing.T) {
	for m := range subgroups {
		g, ok := modpOf(m)
		if !ok || !g.p.ProbablyPrime(2) || !g.q.ProbablyPrime(2) {
			t.Fatalf("%v: not prime", m)
		}
		if new(big.Int).Exp(g.g, g.q, g.p).Cmp(big.NewInt(1)) != 0 {
			t.Errorf("%v: the generator has another order", m)
		}
	}
}

func TestModpRefusesValuesOutsideTheLegalRange(t *testing.T) {
	for _, m := range []wire.KEMethod{wire.KEModp1024, wire.KEModp2048, wire.KEModp2048s256} {
		g, _ := modpOf(m)
		k, err := NewKeyExchange(m)
		if err != nil {
			t.Fatal(err)
		}
		one := big.NewInt(1)
		minusOne := new(big.Int).Sub(g.p, one)
		for name, y := range map[string]*big.Int{"0": new(big.Int), "1": one, "p-1": minusOne, "p": g.p, "p+1": new(big.Int).Add(g.p, one)} {
			var bad *KeyError
			if _, err := k.Shared(y.FillBytes(make([]byte, g.size))); !errors.As(err, &bad) || !strings.Contains(err.Error(), "RFC 6989 2.1") {
				t.Errorf("%v: %s: %v", m, name, err)
			}
		}
	}
}

func TestModpWithSmallSubgroupsRefusesValuesOutsideItsOwn(t *testing.T) {
	for m := range subgroups {
		k, err := NewKeyExchange(m)
		if err != nil {
			t.Fatal(err)
		}
		g, _ := modpOf(m)
		var bad *KeyError
		outside := 0
		for y := int64(2); y < 12; y++ {
			_, err := k.Shared(big.NewInt(y).FillBytes(make([]byte, g.size)))
			if errors.As(err, &bad) && strings.Contains(err.Error(), "RFC 6989 2.2") {
				outside++
			}
		}
		if outside != 10 {
			t.Errorf("%v: %d of 10 values outside the subgroup refused", m, outside)
		}
	}
}

// A public value and a shared secret below the prime's length keep their
// leading zeros (RFC 7296 2.14).
func TestModpKeepsLeadingZeros(t *testing.T) {
	g, _ := modpOf(wire.KEModp2048)
	k := modpWith(wire.KEModp2048, g, big.NewInt(3))
	if len(k.Public()) != 256 || k.Public()[255] != 8 || k.Public()[0] != 0 {
		t.Errorf("public %x", k.Public())
	}
	s, err := k.Shared(k.Public())
	if err != nil || s.Len() != 256 || !s.Equal(secret(big.NewInt(512).FillBytes(make([]byte, 256)))) {
		t.Errorf("shared %v, %v", s, err)
	}
}

func TestModpExponentsHaveTheirFullLength(t *testing.T) {
	for m := range safePrimes {
		g, _ := modpOf(m)
		k := newModp(m, g)
		if k.x.BitLen() != g.exponent {
			t.Errorf("%v: exponent of %d bits, want %d", m, k.x.BitLen(), g.exponent)
		}
	}
}

func TestPointsOffTheCurveAreRefused(t *testing.T) {
	for _, m := range []wire.KEMethod{wire.KEECP256, wire.KEECP384, wire.KEECP521} {
		k, err := NewKeyExchange(m)
		if err != nil {
			t.Fatal(err)
		}
		var bad *KeyError
		p := k.Public()
		p[len(p)-1] ^= 1
		if _, err := k.Shared(p); !errors.As(err, &bad) || !strings.Contains(err.Error(), "not a point of the curve") {
			t.Errorf("%v: %v", m, err)
		}
		if _, err := k.Shared(make([]byte, len(p))); !errors.As(err, &bad) {
			t.Errorf("%v: zeros: %v", m, err)
		}
	}
	k, err := NewKeyExchange(wire.KECurve25519)
	if err != nil {
		t.Fatal(err)
	}
	var bad *KeyError
	if _, err := k.Shared(make([]byte, 32)); !errors.As(err, &bad) || !strings.Contains(err.Error(), "low order") {
		t.Errorf("Curve25519: %v", err)
	}
}

func TestWycheproofECDH(t *testing.T) {
	for name, m := range map[string]wire.KEMethod{"ecdh_secp256r1_ecpoint": wire.KEECP256, "ecdh_secp384r1_ecpoint": wire.KEECP384, "ecdh_secp521r1_ecpoint": wire.KEECP521} {
		c := curves[m]
		for _, v := range readWycheproof(t, name) {
			private := new(big.Int).SetBytes(v.Private).FillBytes(make([]byte, c.size/2))
			k := fixed(t, m, private)
			if len(v.Public) == 0 || v.Public[0] != 4 {
				continue // compressed, or no point: IKE has the form x|y only
			}
			s, err := k.Shared(v.Public[1:])
			if v.Result == "valid" && (err != nil || !s.Equal(secret(v.Shared))) {
				t.Errorf("%s %d (%s): %x, %v", name, v.ID, v.Comment, s.Reveal(), err)
			}
			if v.Result == "invalid" && err == nil {
				t.Errorf("%s %d (%s): accepted", name, v.ID, v.Comment)
			}
		}
	}
}

func TestWycheproofX25519(t *testing.T) {
	zero := secret(make([]byte, 32))
	for _, v := range readWycheproof(t, "x25519") {
		k, err := ecdh.X25519().NewPrivateKey(v.Private)
		if err != nil {
			t.Fatal(err)
		}
		s, err := (&curveKey{wire.KECurve25519, curves[wire.KECurve25519], k}).Shared(v.Public)
		if secret(v.Shared).Equal(zero) { // RFC 8031 2 has it refused
			if err == nil {
				t.Errorf("%d (%s): all zeros accepted", v.ID, v.Comment)
			}
			continue
		}
		if err != nil || !s.Equal(secret(v.Shared)) {
			t.Errorf("%d (%s): %x, %v", v.ID, v.Comment, s.Reveal(), err)
		}
	}
}

func TestWycheproofMLKEM(t *testing.T) {
	for _, v := range readWycheproof(t, "mlkem_768") {
		dk, err := mlkem.NewDecapsulationKey768(v.Seed)
		if err != nil {
			if v.Result == "valid" {
				t.Errorf("%d: %v", v.ID, err)
			}
			continue
		}
		k := &kemKey{wire.KEMLKEM768, dk.EncapsulationKey().Bytes(), dk.Decapsulate}
		s, err := k.Shared(v.C)
		if v.Result == "valid" && (err != nil || !s.Equal(secret(v.K)) || !bytes.Equal(k.Public(), v.EK)) {
			t.Errorf("%d (%s): %x, %v", v.ID, v.Comment, s.Reveal(), err)
		}
		if v.Result == "invalid" && err == nil && s.Equal(secret(v.K)) && bytes.Equal(k.Public(), v.EK) {
			t.Errorf("%d (%s): accepted", v.ID, v.Comment)
		}
	}
}
