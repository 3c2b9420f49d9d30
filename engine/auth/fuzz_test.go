package auth

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// FuzzVerifyOfHostileProof proves that no certificates and no AUTH make Verify
// panic, or accept a signature over something else.
func FuzzVerifyOfHostileProof(f *testing.F) {
	root := authority(f, nil, "Root", "P-256/ca")
	inter := authority(f, root, "Inter", "P-384")
	them := &Certificates{Trusted: []*x509.Certificate{root.cert}, Rules: Rules{SHA1: true, MinRSA: 1024}}
	for _, key := range []string{"RSA 2048", "P-256", "P-521", "Ed25519"} {
		for _, hs := range [][]wire.HashAlgorithm{nil, everyHash} {
			us := &Certificates{Own: []*KeyPair{pair(f, leaf(f, inter, key), inter)}, Rules: Rules{SHA1: true}}
			if p, err := us.Prove(statement(f, hs...)); err == nil {
				f.Add(byte(p.Auth.Method), p.Auth.Data, byte(p.Certs[0].Encoding), p.Certs[0].Data, p.Certs[1].Data)
			}
		}
	}
	odd := leaf(f, root, "P-224")
	f.Add(byte(wire.AuthECDSA256), make([]byte, 64), byte(wire.CertX509Signature), odd.cert.Raw, []byte("garbage"))
	f.Fuzz(func(t *testing.T, method byte, data []byte, encoding byte, first, second []byte) {
		p := &Proof{Auth: wire.Auth{Method: wire.AuthMethod(method), Data: data}, Certs: []wire.Cert{
			{Encoding: wire.CertEncoding(encoding), Data: first}, {Encoding: wire.CertX509Signature, Data: second}}}
		s := statement(t)
		s.Signed = []byte("what nobody signed")
		v := them.Verify(s, p, testTime)
		if v.Err == nil {
			t.Errorf("accepted: %+v", v.Checks)
		}
		explained(t, v)
	})
}

// FuzzAlgorithmIdentifier proves that what is read is written so that it reads
// the same.
func FuzzAlgorithmIdentifier(f *testing.F) {
	for i := range algorithms {
		if der, err := algorithms[i].identifier(); err == nil {
			f.Add(der)
		}
	}
	if der, err := (scheme{family: pss, hash: wire.HashSHA384, salt: 48}).identifier(); err == nil {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := parseAlgorithm(der)
		if err != nil {
			return
		}
		back, err := s.identifier()
		if err != nil {
			t.Fatalf("%s is read but cannot be written: %v", s, err)
		}
		if again, err := parseAlgorithm(back); err != nil || again != s {
			t.Errorf("%s reads again as %s, %v", s, again, err)
		}
	})
}

// FuzzKeyFiles proves that no file makes the readers panic.
func FuzzKeyFiles(f *testing.F) {
	for _, name := range []string{"rsa_pkcs1.pem", "ec_pkcs8_encrypted.der", "ed_pkcs8.pem", "chain.pem", "ec.der", "nomac.p12"} {
		f.Add(readFile(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte{0x02, 0x03}) || bytes.Contains(data, []byte{0x02, 0x04}) {
			return // so many iterations are allowed, but slow
		}
		if k, err := ParsePrivateKey(data, suite.NewSecret([]byte("test"))); (k == nil) != (err != nil) {
			t.Errorf("%v and %v", k, err)
		}
		if c, err := ParseCertificates(data); (len(c) == 0) != (err != nil) {
			t.Errorf("%d certificates and %v", len(c), err)
		}
		if k, err := ParsePKCS12(data, suite.NewSecret([]byte("test"))); (k == nil) != (err != nil) {
			t.Errorf("%v and %v", k, err)
		}
	})
}
