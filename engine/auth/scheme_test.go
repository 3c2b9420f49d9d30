package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAlgorithmIdentifiersOfRFC7427AreReadAndWritten(t *testing.T) {
	var vectors []struct{ Name, DER string }
	readJSON(t, "rfc7427_algorithm_identifiers.json", &vectors)
	for _, vec := range vectors {
		der := unhex(t, vec.DER)
		s, err := parseAlgorithm(der)
		if strings.HasPrefix(vec.Name, "dsa") {
			if err == nil {
				t.Errorf("%s: read as %s, though DSA is not supported", vec.Name, s)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", vec.Name, err)
			continue
		}
		own, err := s.identifier()
		if err != nil {
			t.Errorf("%s: %v", vec.Name, err)
		}
		if s.family == pss { // the appendix writes the default of the trailer out, which DER leaves away
			der = bytes.Clone(der[:len(der)-5])
			der[1] -= 5
			der[14] -= 5
		}
		if !bytes.Equal(own, der) {
			t.Errorf("%s: made %x, want %x", vec.Name, own, der)
		}
	}
}

func TestWycheproofSignatures(t *testing.T) {
	schemes := map[string]scheme{"PKCS1": {family: pkcs1, hash: wire.HashSHA256}, "PSS": {family: pss, hash: wire.HashSHA256, salt: 32},
		"ECDSA": {family: ecdsaSig, hash: wire.HashSHA256}, "Ed25519": {family: ed25519Sig, hash: wire.HashIdentity}}
	var all map[string][]struct {
		Key   string
		Tests []struct {
			TcID                      int
			Comment, Msg, Sig, Result string
		}
	}
	readJSON(t, "wycheproof_signatures.json", &all)
	for name, sch := range schemes {
		n := 0
		for _, g := range all[name] {
			key, err := x509.ParsePKIXPublicKey(unhex(t, g.Key))
			if err != nil {
				t.Fatal(err)
			}
			for _, test := range g.Tests {
				n++
				err := sch.verify(key, unhex(t, test.Msg), unhex(t, test.Sig))
				if test.Result != "acceptable" && (err == nil) != (test.Result == "valid") {
					t.Errorf("%s %d (%s): %v, want %s", name, test.TcID, test.Comment, err, test.Result)
				}
			}
		}
		if n == 0 {
			t.Errorf("no tests of %s", name)
		}
	}
}

func TestAuthPayloadsOfRFC4754(t *testing.T) {
	var vectors []struct {
		Method  wire.AuthMethod `json:"auth_method"`
		Message string
		GWX     string
		GWY     string
		Payload string `json:"auth_payload"`
	}
	readJSON(t, "rfc4754_ecdsa.json", &vectors)
	for i, vec := range vectors {
		f := &fixedCurves[i]
		if f.method != vec.Method {
			t.Fatalf("vector %d is of method %s", i, vec.Method)
		}
		key, err := ecdsa.ParseUncompressedPublicKey(f.curve, unhex(t, "04"+vec.GWX+vec.GWY))
		if err != nil {
			t.Fatal(err)
		}
		data := unhex(t, vec.Payload)[8:]
		c := &Certificates{}
		check := func(data []byte) error {
			sch, sig, err := c.scheme(&x509.Certificate{PublicKey: key}, nil, &Proof{Auth: wire.Auth{Method: vec.Method, Data: data}})
			if err != nil {
				return err
			}
			if back, err := f.fixed(sig); err != nil || !bytes.Equal(back, data) {
				t.Errorf("%s: back to %x, %v", f.method, back, err)
			}
			return sch.verify(key, unhex(t, vec.Message), sig)
		}
		if err := check(data); err != nil {
			t.Errorf("%s: %v", f.method, err)
		}
		data[len(data)-1] ^= 1
		if check(data) == nil {
			t.Errorf("%s: an altered signature holds", f.method)
		}
		if check(data[1:]) == nil {
			t.Errorf("%s: a short signature holds", f.method)
		}
	}
	for _, bad := range [][]byte{nil, {0x30, 0}, {0x30, 6, 2, 1, 0xff, 2, 1, 1}} {
		if _, err := fixedCurves[0].fixed(bad); err == nil {
			t.Errorf("%x is taken for a signature", bad)
		}
	}
	big521, err := asn1.Marshal(ecdsaValue{new(big.Int).Lsh(big.NewInt(1), 300), big.NewInt(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fixedCurves[0].fixed(big521); err == nil {
		t.Error("an r of 301 bits fits P-256")
	}
}

// everyHash is what a modern peer announces.
var everyHash = []wire.HashAlgorithm{wire.HashSHA256, wire.HashSHA384, wire.HashSHA512, wire.HashIdentity}

func TestEverySchemeHoldsBetweenTwoSides(t *testing.T) {
	root := authority(t, nil, "Root", "P-256/ca")
	rows := []struct {
		name, key, method string
		auth              wire.AuthMethod
		rules             Rules
		peer              []wire.HashAlgorithm
	}{
		{"RSA by the older method", "RSA 2048", "RSASSA-PKCS1-v1_5 with SHA1", wire.AuthRSA, Rules{SHA1: true}, nil},
		{"RSA-PSS", "RSA 2048", "RSASSA-PSS with SHA2-256", wire.AuthDigitalSignature, Rules{}, everyHash},
		{"RSA-PSS, only the longest hash in common", "RSA 2048", "RSASSA-PSS with SHA2-512", wire.AuthDigitalSignature, Rules{}, []wire.HashAlgorithm{wire.HashSHA1, wire.HashSHA512}},
		{"RSA-PSS, this side's order", "RSA 2048", "RSASSA-PSS with SHA2-384", wire.AuthDigitalSignature, Rules{Hashes: []wire.HashAlgorithm{wire.HashSHA384, wire.HashSHA256}}, everyHash},
		{"RSA PKCS #1 by RFC 7427", "RSA 2048", "RSASSA-PKCS1-v1_5 with SHA2-256", wire.AuthDigitalSignature, Rules{PKCS1: true}, everyHash},
		{"small RSA where the rules say so", "RSA 1024", "RSASSA-PSS with SHA2-256", wire.AuthDigitalSignature, Rules{MinRSA: 1}, everyHash},
		{"P-256 by RFC 4754", "P-256", "ECDSA with SHA2-256", wire.AuthECDSA256, Rules{}, nil},
		{"P-384 by RFC 4754", "P-384", "ECDSA with SHA2-384", wire.AuthECDSA384, Rules{}, nil},
		{"P-521 by RFC 4754", "P-521", "ECDSA with SHA2-512", wire.AuthECDSA521, Rules{}, nil},
		{"P-256 by RFC 4754, though the peer has RFC 7427", "P-256", "ECDSA with SHA2-256", wire.AuthECDSA256, Rules{OlderOnly: true}, everyHash},
		{"P-256 by RFC 7427", "P-256", "ECDSA with SHA2-256", wire.AuthDigitalSignature, Rules{}, everyHash},
		{"P-384 by RFC 7427", "P-384", "ECDSA with SHA2-384", wire.AuthDigitalSignature, Rules{}, everyHash},
		{"P-521 by RFC 7427", "P-521", "ECDSA with SHA2-512", wire.AuthDigitalSignature, Rules{}, everyHash},
		{"P-521 with a peer of one hash", "P-521", "ECDSA with SHA2-256", wire.AuthDigitalSignature, Rules{}, []wire.HashAlgorithm{wire.HashSHA256}},
		{"Ed25519", "Ed25519", "Ed25519", wire.AuthDigitalSignature, Rules{}, everyHash},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			us := &Certificates{Own: []*KeyPair{pair(t, leaf(t, root, r.key), root)}, Rules: r.rules}
			them := &Certificates{Trusted: []*x509.Certificate{root.cert}, Rules: r.rules}
			s := statement(t, r.peer...)
			p := prove(t, us, s)
			if p.Auth.Method != r.auth {
				t.Errorf("method %s, want %s", p.Auth.Method, r.auth)
			}
			if len(p.Certs) != 1 {
				t.Errorf("%d certificates sent, want the own one only: the root is the peer's to have", len(p.Certs))
			}
			v := them.Verify(s, p, testTime)
			wantAccepted(t, v)
			if v.Method != r.method {
				t.Errorf("verified %q, want %q", v.Method, r.method)
			}
			p.Auth.Data[len(p.Auth.Data)-1] ^= 1
			wantRefusal(t, them.Verify(s, p, testTime), event.CheckSignature, "does not hold", "does not fit the certificate")
			p.Auth.Data[len(p.Auth.Data)-1] ^= 1
			s.Signed = []byte("something else")
			wantRefusal(t, them.Verify(s, p, testTime), event.CheckSignature, "does not hold")
		})
	}
}

func TestNoSignatureHashInCommonSaysBothSides(t *testing.T) {
	root := authority(t, nil, "Root", "P-256/ca")
	rows := []struct {
		name, key string
		rules     Rules
		peer      []wire.HashAlgorithm
		says      []string
	}{
		{"RSA, peer with SHA-1 only", "RSA 2048", Rules{SHA1: true}, []wire.HashAlgorithm{wire.HashSHA1}, []string{"local SHA2-256, SHA2-384, SHA2-512", "remote SHA1", "RSA 2048 bits"}},
		{"RSA, peer without RFC 7427", "RSA 2048", Rules{}, nil, []string{"without signature hashes announced", "SHA1"}},
		{"ECDSA, peer with Identity only", "P-256", Rules{}, []wire.HashAlgorithm{wire.HashIdentity}, []string{"ECDSA P-256"}},
		{"ECDSA, rules above the curve's hash", "P-256", Rules{Hashes: []wire.HashAlgorithm{wire.HashSHA512}}, nil, []string{"SHA2-256", "allowed are SHA2-512"}},
		{"Ed25519, peer without Identity", "Ed25519", Rules{}, everyHash[:3], []string{"Ed25519", "remote SHA2-256, SHA2-384, SHA2-512"}},
		{"Ed25519, peer without RFC 7427", "Ed25519", Rules{}, nil, []string{"none announced"}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			us := &Certificates{Own: []*KeyPair{pair(t, leaf(t, root, r.key))}, Rules: r.rules}
			_, err := us.Prove(statement(t, r.peer...))
			e, ok := err.(*Error)
			if !ok || e.Kind != event.CheckSignature {
				t.Fatalf("%v", err)
			}
			for _, w := range r.says {
				if !strings.Contains(e.What, w) {
					t.Errorf("%q does not say %q", e.What, w)
				}
			}
		})
	}
}

func TestSignaturesOtherThanTheRulesSayAreRefused(t *testing.T) {
	root := authority(t, nil, "Root", "P-256/ca")
	them := &Certificates{Trusted: []*x509.Certificate{root.cert}}
	by := func(key string, method wire.AuthMethod, sch scheme, signer crypto.Signer) *Proof {
		t.Helper()
		l := leaf(t, root, key)
		sig, err := sch.sign(signer, []byte("what is signed"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := pack(method, sch, sig)
		if err != nil {
			t.Fatal(err)
		}
		return &Proof{Auth: wire.Auth{Method: method, Data: data}, Certs: []wire.Cert{{Encoding: wire.CertX509Signature, Data: l.cert.Raw}}}
	}
	rsaKey, p256, p384 := testKey(t, "RSA 2048"), testKey(t, "P-256"), testKey(t, "P-384")
	sha1RSA, ec256 := scheme{family: pkcs1, hash: wire.HashSHA1}, scheme{family: ecdsaSig, hash: wire.HashSHA256}
	digital := func(alg string, sig []byte) *Proof {
		p := by("RSA 2048", wire.AuthDigitalSignature, scheme{family: pkcs1, hash: wire.HashSHA256}, rsaKey)
		der := unhex(t, alg)
		p.Auth.Data = append(append([]byte{byte(len(der))}, der...), sig...)
		return p
	}
	rows := []struct {
		name  string
		rules Rules
		proof *Proof
		says  []string
	}{
		{"SHA-1 by the older method", Rules{}, by("RSA 2048", wire.AuthRSA, sha1RSA, rsaKey), []string{"SHA1", "local SHA2-256"}},
		{"SHA-1 by RFC 7427, though the older method may", Rules{SHA1: true}, by("RSA 2048", wire.AuthDigitalSignature, sha1RSA, rsaKey), []string{"remote SHA1"}},
		{"a hash that was not announced", Rules{Hashes: everyHash[1:]}, by("P-256", wire.AuthDigitalSignature, ec256, p256), []string{"remote SHA2-256", "local SHA2-384"}},
		{"ECDSA said, RSA certificate", Rules{}, by("RSA 2048", wire.AuthDigitalSignature, ec256, p256), []string{"RSA 2048 bits", "ECDSA with SHA2-256 cannot be made"}},
		{"RSA said, ECDSA certificate", Rules{}, by("P-256", wire.AuthDigitalSignature, scheme{family: pkcs1, hash: wire.HashSHA256}, rsaKey), []string{"ECDSA P-256"}},
		{"RSA said, Ed25519 certificate", Rules{}, by("Ed25519", wire.AuthDigitalSignature, scheme{family: pkcs1, hash: wire.HashSHA256}, rsaKey), []string{"Ed25519"}},
		{"older RSA said, ECDSA certificate", Rules{SHA1: true}, by("P-256", wire.AuthRSA, sha1RSA, rsaKey), []string{"ECDSA P-256"}},
		{"older P-384 said, P-256 certificate", Rules{}, by("P-256", wire.AuthECDSA384, scheme{family: ecdsaSig, hash: wire.HashSHA384}, p384), []string{"P-384", "P-256"}},
		{"garbage for an algorithm", Rules{}, digital("0102", []byte("sig")), []string{"no algorithm identifier in DER"}},
		{"an algorithm that is not supported", Rules{}, digital("300506032b6571", []byte("sig")), []string{"Ed448", "not supported"}},
		{"parameters where there are none", Rules{}, digital("300c06082a8648ce3d0403020101", []byte("sig")), []string{"no algorithm identifier"}},
		{"an integer for parameters", Rules{}, digital("300d06082a8648ce3d040302020101", []byte("sig")), []string{"parameters where"}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			them.Rules = r.rules
			wantRefusal(t, them.Verify(statement(t), r.proof, testTime), event.CheckSignature, r.says...)
		})
	}
	them.Rules = Rules{}
	p := digital("0102", nil)
	p.Auth.Data = nil
	wantRefusal(t, them.Verify(statement(t), p, testTime), event.CheckSignature, "no algorithm identifier stands")
	p.Auth.Data = make([]byte, 10000)
	wantRefusal(t, them.Verify(statement(t), p, testTime), event.CheckSignature, "10000 octets")
	p.Auth.Method = wire.AuthSharedKey
	wantRefusal(t, them.Verify(statement(t), p, testTime), event.CheckMethod, "a digital signature")
}

func TestPSSParametersAsSent(t *testing.T) {
	key := testKey(t, "RSA 2048")
	for _, salt := range []int{0, 20, 32, 64, 222} {
		sch := scheme{family: pss, hash: wire.HashSHA256, salt: salt}
		signing := sch
		if salt == 0 {
			signing.salt = -1 // the library's word for as long as the hash
		}
		sig, err := signing.sign(key, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		der, err := sch.identifier()
		if err != nil {
			t.Fatal(err)
		}
		read, err := parseAlgorithm(der)
		if err != nil || read != sch {
			t.Fatalf("salt %d: read %+v, %v", salt, read, err)
		}
		if err := read.verify(key.Public(), []byte("m"), sig); err != nil {
			t.Errorf("salt %d: %v", salt, err)
		}
	}
	wrong := scheme{family: pss, hash: wire.HashSHA256, salt: 31}
	sig, err := scheme{family: pss, hash: wire.HashSHA256, salt: 32}.sign(key, []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if wrong.verify(key.Public(), []byte("m"), sig) == nil {
		t.Error("a salt of another length than announced is accepted")
	}
	const hash256, mgf256 = "a00f300d06096086480165030402010500", "a11c301a06092a864886f70d010108300d06096086480165030402010500"
	rows := []struct{ name, params, says string }{
		{"trailer 2", hash256 + mgf256 + "a203020120a303020102", "trailer field 2"},
		{"another hash in MGF1", hash256 + "a203020120", "MGF1 with SHA1"},
		{"no MGF1", hash256 + "a10d300b06092a864886f70d010109" + "a203020120", "without MGF1"},
		{"negative salt", hash256 + mgf256 + "a2030201ff", "salt of -1"},
		{"huge salt", hash256 + mgf256 + "a20502037fffff", "salt of 8388607"},
		{"unknown hash", "a00f300d06096086480165030402040500", "2.16.840.1.101.3.4.2.4"},
		{"unknown hash in MGF1", hash256 + "a11c301a06092a864886f70d010108300d06096086480165030402040500", "2.16.840.1.101.3.4.2.4"},
		{"not a sequence", "0203", "malformed"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			params := unhex(t, r.params)
			if r.name != "not a sequence" {
				params = append([]byte{0x30, byte(len(params))}, params...)
			}
			_, err := parsePSS(params)
			if err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%v, want one that says %q", err, r.says)
			}
		})
	}
	s, err := parsePSS([]byte{0x30, 0})
	if err != nil || s != (scheme{family: pss, hash: wire.HashSHA1, salt: 20}) {
		t.Errorf("the defaults read as %+v, %v", s, err)
	}
}

func TestKeysThatAreNotGoodEnoughAreRefusedWithReason(t *testing.T) {
	rows := []struct {
		key  crypto.PublicKey
		says string
	}{
		{testKey(t, "RSA 1024").Public(), "RSA of 1024 bits is too small, at least 2048"},
		{testKey(t, "P-224").Public(), "other than P-256"},
		{(*ecdsa.PublicKey)(nil), "other than"},
		{"what", "unsupported kind"},
		{bigRSA(t, 16392, 65537), "16392 bits is too big"},
		{bigRSA(t, 2048, 4), "exponent 4"},
		{emptyRSA(), "empty"},
		{shortEd(), "31 octets"},
	}
	for _, r := range rows {
		err := checkKey(r.key, defaultMinRSA)
		if err == nil || !strings.Contains(err.Error(), r.says) {
			t.Errorf("%T: %v, want %q", r.key, err, r.says)
		}
	}
	if _, err := NewPrivateKey(nil); err == nil {
		t.Error("no key is a key")
	}
	if _, err := NewPrivateKey(testKey(t, "P-224")); err == nil {
		t.Error("P-224 is taken")
	}
	if curveOf(&ecdsa.PublicKey{Curve: elliptic.P224()}) != nil {
		t.Error("P-224 has a method")
	}
	if _, err := (scheme{family: ecdsaSig, hash: wire.HashIdentity}).identifier(); err == nil {
		t.Error("ECDSA without a hash has an identifier")
	}
}

func TestPrivateKeysArePrintedAsKindAndSizeOnly(t *testing.T) {
	k := privateKey(t, testKey(t, "P-256"))
	l := leaf(t, authority(t, nil, "Root", "P-256/ca"), "P-256")
	p := pair(t, l)
	text, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	octets, err := testKey(t, "P-256").(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	secret := new(big.Int).SetBytes(octets)
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %x", k, k, k), fmt.Sprintf("%+v", *p), fmt.Sprintf("%#v", struct{ k *PrivateKey }{k}), string(text)} {
		if strings.Contains(s, secret.String()) || strings.Contains(s, hex.EncodeToString(secret.Bytes())) {
			t.Errorf("the key is printed: %.100s", s)
		}
	}
	if got := fmt.Sprint(k); got != "ECDSA P-256" {
		t.Errorf("printed %q", got)
	}
	if got := (*PrivateKey)(nil).String(); got != "no key" {
		t.Errorf("printed %q", got)
	}
}
