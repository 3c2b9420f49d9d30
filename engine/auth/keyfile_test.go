package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func passphrase(s string) suite.Secret { return suite.NewSecret([]byte(s)) }

func TestKeysOfEveryFormAreRead(t *testing.T) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(testKey(t, "P-384"))
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name, pass, want string
		data             []byte
	}{
		{"PKCS #1", "", "RSA 2048 bits", readFile(t, "rsa_pkcs1.pem")},
		{"SEC 1 behind its parameters", "", "ECDSA P-256", readFile(t, "ec_sec1.pem")},
		{"PKCS #8", "", "Ed25519", readFile(t, "ed_pkcs8.pem")},
		{"PKCS #8 in DER", "", "ECDSA P-384", pkcs8},
		{"PKCS #8 behind a certificate", "", "Ed25519", append(readFile(t, "chain.pem"), readFile(t, "ed_pkcs8.pem")...)},
		{"encrypted", "test", "ECDSA P-256", readFile(t, "ec_pkcs8_encrypted.pem")},
		{"encrypted, in DER, HMAC-SHA512", "test", "ECDSA P-256", readFile(t, "ec_pkcs8_encrypted.der")},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			k, err := ParsePrivateKey(r.data, passphrase(r.pass))
			if err != nil || k.String() != r.want {
				t.Errorf("%v, %v, want %s", k, err, r.want)
			}
		})
	}
}

func TestKeysThatCannotBeReadSayWhy(t *testing.T) {
	many := encryptedParameters(t, maxIterations+1, nil)
	rows := []struct {
		name, pass, says string
		data             []byte
	}{
		{"wrong passphrase", "wrong", "", readFile(t, "ec_pkcs8_encrypted.pem")},
		{"no passphrase", "", "no passphrase is given", readFile(t, "ec_pkcs8_encrypted.pem")},
		{"scrypt", "test", "only PBKDF2 is supported", readFile(t, "ec_scrypt.pem")},
		{"DES", "test", "something else than", readFile(t, "ec_des3.pem")},
		{"PBES1", "test", "only PBES2 is supported", readFile(t, "ec_pbes1.pem")},
		{"old PEM", "test", "old form of PEM", readFile(t, "ec_old_pem.pem")},
		{"odd curve", "", "no private key in", readFile(t, "k1.pem")},
		{"key exchange", "", "cannot sign", readFile(t, "x25519.pem")},
		{"garbage", "", "no private key in", []byte("garbage")},
		{"huge", "", "at most", make([]byte, maxKeyFile+1)},
		{"too many iterations", "test", "10000001 iterations", many},
		{"data of no blocks", "test", "no number of blocks", encryptedParameters(t, 1, []byte{1})},
		{"no parameters", "test", "malformed parameters of PBES2", encryptedWith(t, asn1.RawValue{FullBytes: []byte{5, 0}})},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			_, err := ParsePrivateKey(r.data, passphrase(r.pass))
			if err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%v, want one that says %q", err, r.says)
			}
		})
	}
}

// encryptedParameters makes an encrypted key of nothing.
func encryptedParameters(t *testing.T, iterations int, data []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(readFile(t, "ec_pkcs8_encrypted.pem"))
	var k encryptedKey
	var p pbes2Parameters
	var d pbkdf2Parameters
	unmarshal := func(der []byte, v any) {
		t.Helper()
		if _, err := asn1.Unmarshal(der, v); err != nil {
			t.Fatal(err)
		}
	}
	unmarshal(block.Bytes, &k)
	unmarshal(k.Algorithm.Parameters.FullBytes, &p)
	unmarshal(p.Derivation.Parameters.FullBytes, &d)
	d.Iterations = iterations
	p.Derivation.Parameters = asn1.RawValue{FullBytes: marshal(t, d)}
	k.Algorithm.Parameters = asn1.RawValue{FullBytes: marshal(t, p)}
	k.Data = data
	return marshal(t, k)
}

func encryptedWith(t *testing.T, parameters asn1.RawValue) []byte {
	t.Helper()
	k := encryptedKey{Data: make([]byte, 16)}
	k.Algorithm.Algorithm, k.Algorithm.Parameters = oidPBES2, parameters
	return marshal(t, k)
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPKCS12FilesOfOpenSSLAreRead(t *testing.T) {
	for name, want := range map[string]string{"rsa.p12": "RSA 2048 bits", "ec.p12": "ECDSA P-256", "ed.p12": "Ed25519", "legacy.p12": "ECDSA P-256"} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePKCS12(readFile(t, name), passphrase("test"))
			if err != nil {
				t.Fatal(err)
			}
			if p.Key.String() != want || subject(p.Cert) != "C=CH, O=Example, CN=gate.example.org" {
				t.Errorf("%s of %s", p.Key, subject(p.Cert))
			}
			if n := len(p.Chain); n != 1 && name != "legacy.p12" {
				t.Errorf("%d certificates of authorities, want 1", n)
			}
		})
	}
}

func TestPKCS12FilesThatCannotBeReadSayWhy(t *testing.T) {
	good := readFile(t, "ec.p12")
	// The iterations of the MAC are the last integer of the file.
	many := bytes.Clone(good)
	if string(many[len(many)-4:len(many)-2]) != "\x02\x02" {
		t.Fatalf("the file ends in %x", many[len(many)-6:])
	}
	slow := append(bytes.Clone(good[:len(good)-4]), 0x02, 0x04, 0x7f, 0xff, 0xff, 0xff)
	slow = grow(t, slow, 2)
	rows := []struct {
		name, pass, says string
		data             []byte
	}{
		{"wrong passphrase", "wrong", "incorrect", good},
		{"no MAC", "test", "without a MAC", readFile(t, "nomac.p12")},
		{"garbage", "test", "not in DER", []byte("garbage")},
		{"cut", "test", "not in DER", good[:100]},
		{"huge", "test", "at most", make([]byte, maxKeyFile+1)},
		{"too many iterations", "test", "more than 10000000 iterations", slow},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			_, err := ParsePKCS12(r.data, passphrase(r.pass))
			if err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%v, want one that says %q", err, r.says)
			}
		})
	}
	if err := boundIntegers([]byte{0x30, 3}, 0); err == nil {
		t.Error("a cut element is taken")
	}
	deep := []byte{5, 0}
	for range 20 {
		deep = append([]byte{0x30, byte(len(deep))}, deep...)
	}
	if err := boundIntegers(deep, 0); err == nil {
		t.Error("20 levels are taken")
	}
}

// grow adds n to the lengths of the elements that end where the file ends.
func grow(t *testing.T, der []byte, n int) []byte {
	t.Helper()
	total := len(der) - 4 - n
	if der[1] != 0x82 || int(der[2])<<8|int(der[3]) != total {
		t.Fatalf("the file begins with %x", der[:4])
	}
	der[2], der[3] = byte((total+n)>>8), byte(total+n)
	for i := len(der) - 200; i < len(der); i++ { // the MAC, a sequence of less than 128 octets
		if der[i] == 0x30 && i+2+int(der[i+1]) == len(der)-n {
			der[i+1] += byte(n)
			return der
		}
	}
	t.Fatal("no MAC found")
	return nil
}

func TestCertificatesOfPEMAndDERAreRead(t *testing.T) {
	many := bytes.Repeat(readFile(t, "chain.pem"), maxFileCerts/2+1)
	rows := []struct {
		name string
		data []byte
		want int
		says string
	}{
		{"two in PEM", readFile(t, "chain.pem"), 2, ""},
		{"one in DER", readFile(t, "ec.der"), 1, ""},
		{"a key with its certificates", append(readFile(t, "ec_sec1.pem"), readFile(t, "chain.pem")...), 2, ""},
		{"a key alone", readFile(t, "ec_sec1.pem"), 0, "no certificate in the file"},
		{"garbage", []byte("garbage"), 0, "no certificate in PEM or DER"},
		{"garbage in PEM", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0, "certificate 1"},
		{"huge", make([]byte, maxKeyFile+1), 0, "at most"},
		{"too many", many, 0, ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			certs, err := ParseCertificates(r.data)
			if len(certs) != r.want || (err == nil) != (r.want > 0) || err != nil && !strings.Contains(err.Error(), r.says) {
				t.Errorf("%d certificates, %v", len(certs), err)
			}
		})
	}
}

func TestKeyAndCertificateMustFit(t *testing.T) {
	certs, err := ParseCertificates(readFile(t, "chain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePrivateKey(readFile(t, "ec_sec1.pem"), suite.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := NewKeyPair(key, certs[1], certs[0]); err != nil || p.Cert != certs[0] || len(p.Chain) != 1 {
		t.Errorf("%v, %v", p, err)
	}
	for says, try := range map[string]func() (*KeyPair, error){
		"(ECDSA P-256) does not fit the certificate: that of C=CH, O=Example, CN=Test CA has a key that is RSA 2048 bits": func() (*KeyPair, error) { return NewKeyPair(key, certs[1]) },
		"no certificate": func() (*KeyPair, error) { return NewKeyPair(key) },
		"no private key": func() (*KeyPair, error) { return NewKeyPair(nil, certs...) },
	} {
		if _, err := try(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
