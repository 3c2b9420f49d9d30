package native

import (
	"bytes"
	"crypto"
	"crypto/sha1" // the name that VICI gives to keys, no protection
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/suite"
)

// maxLoaded bounds the secrets, keys, certificates, authorities and connections
// that are loaded, each.
const maxLoaded = 10_000

// store is what was loaded by command. Connections that were loaded so take
// their credentials from it when they need them, whatever came first. It is safe
// for concurrent use.
type store struct {
	mu          sync.Mutex
	changes     uint64 // grows with every change
	secrets     []secret
	keys        []privateKey
	certs       []cert
	others      []engine.Certificate // CRLs: listed, and not asked
	authorities []authority
}

// secret is a shared secret; those of EAP are kept for listing only.
type secret struct {
	id  string
	ike bool
	key auth.SharedKey
}

// privateKey is a key with its name: SHA-1 of its public key.
type privateKey struct {
	id  string
	key *auth.PrivateKey
}

// cert is a certificate; ca says that peers are believed for its sake.
type cert struct {
	*x509.Certificate
	ca bool
}

type authority struct {
	engine.Authority
	cert *x509.Certificate
}

// change carries a change out.
func (s *store) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	f()
}

// room refuses more than can be kept of something.
func room(n int, what string) error {
	if n >= maxLoaded {
		return refused("%d %s are loaded, which is the most", n, what)
	}
	return nil
}

// keyName gives the name of a key: SHA-1 over the octets of its public key (RFC
// 5280 4.2.1.2, method 1).
func keyName(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	sum := sha1.Sum(info.PublicKey.RightAlign())
	return hex.EncodeToString(sum[:]), nil
}

// addKey takes a private key in and gives its name.
func (s *store) addKey(data []byte) (string, error) {
	key, err := auth.ParsePrivateKey(data, suite.Secret{})
	if err != nil {
		return "", refused("%s", err)
	}
	id, err := keyName(key.Public())
	if err != nil {
		return "", refused("%s", err)
	}
	s.change(func() {
		s.keys = slices.DeleteFunc(s.keys, func(k privateKey) bool { return k.id == id })
		if err = room(len(s.keys), "private keys"); err == nil {
			s.keys = append(s.keys, privateKey{id, key})
		}
	})
	return id, err
}

func (s *store) dropKey(id string) error {
	id = strings.ToLower(strings.ReplaceAll(id, ":", ""))
	n := 0
	s.change(func() {
		n = len(s.keys)
		s.keys = slices.DeleteFunc(s.keys, func(k privateKey) bool { return k.id == id })
		n -= len(s.keys)
	})
	if n == 0 {
		return refused("key not found")
	}
	return nil
}

// addSecret takes a shared secret in; one of the same id is replaced.
func (s *store) addSecret(b backend.Secret) error {
	one := secret{id: b.ID, ike: strings.EqualFold(b.Type, "ike")}
	switch kind := strings.ToLower(b.Type); kind {
	case "ike", "eap", "xauth", "ntlm":
	case "ppk":
		return unsupportedBy("post-quantum preshared keys (RFC 8784)")
	default:
		return refused("invalid shared key type: %s", b.Type)
	}
	if len(b.Data) == 0 {
		return refused("the secret is empty")
	}
	for _, owner := range b.Owners {
		if owner == "%any" || !one.ike {
			continue
		}
		id, err := auth.ParseID(owner)
		if err != nil {
			return refused("owner of the secret: %s", err)
		}
		one.key.Owners = append(one.key.Owners, id)
	}
	one.key.Key = suite.NewSecret(b.Data)
	var err error
	s.change(func() {
		if b.ID != "" {
			s.secrets = slices.DeleteFunc(s.secrets, func(o secret) bool { return o.id == b.ID })
		}
		if err = room(len(s.secrets), "secrets"); err == nil {
			s.secrets = append(s.secrets, one)
		}
	})
	return err
}

func (s *store) dropSecret(id string) error {
	n := 0
	s.change(func() {
		n = len(s.secrets)
		s.secrets = slices.DeleteFunc(s.secrets, func(o secret) bool { return o.id == id })
		n -= len(s.secrets)
	})
	if n == 0 {
		return refused("shared key %q not found", id)
	}
	return nil
}

// derOf gives the octets of the first block of PEM, or the octets themselves.
func derOf(data []byte) []byte {
	if block, _ := pem.Decode(data); block != nil {
		return block.Bytes
	}
	return data
}

// addCertificate takes a certificate or a CRL in.
func (s *store) addCertificate(c backend.CertificateData) error {
	switch c.Type {
	case "X509", "":
	case "X509_CRL":
		list, err := x509.ParseRevocationList(derOf(c.Data))
		if err != nil {
			return refused("parsing %s certificate failed: %s", c.Type, err)
		}
		s.change(func() {
			if err = room(len(s.others), "CRLs"); err == nil {
				s.others = append(s.others, engine.Certificate{Type: c.Type, Data: list.Raw})
			}
		})
		return err
	default:
		return unsupportedBy("certificates of type " + c.Type)
	}
	if c.Flag != "" && c.Flag != "NONE" && c.Flag != "CA" {
		return unsupportedBy("certificates with flag " + c.Flag)
	}
	x, err := x509.ParseCertificate(derOf(c.Data))
	switch {
	case err != nil:
		return refused("parsing X509 certificate failed: %s", err)
	case c.Flag == "CA" && !x.IsCA && x.Version > 1:
		return refused("ca certificate lacks CA basic constraint, rejected")
	}
	s.change(func() {
		s.certs = slices.DeleteFunc(s.certs, func(o cert) bool { return bytes.Equal(o.Raw, x.Raw) })
		if err = room(len(s.certs), "certificates"); err == nil {
			s.certs = append(s.certs, cert{x, c.Flag == "CA"})
		}
	})
	return err
}

// addAuthority takes an authority in; one of the same name is replaced.
func (s *store) addAuthority(name string, section *backend.Section) error {
	a := authority{Authority: engine.Authority{Name: name}}
	if section != nil {
		for k := range section.Items {
			i := &section.Items[k]
			list := i.List
			if list == nil {
				list = []string{i.Value}
			}
			switch i.Name {
			case "cacert":
				x, err := x509.ParseCertificate(derOf([]byte(i.Value)))
				if err != nil {
					return refused("authority %s: cacert: %s", name, err)
				}
				a.cert, a.CACert = x, subjectOf(x)
			case "crl_uris":
				a.CRLURIs = list
			case "ocsp_uris":
				a.OCSPURIs = list
			case "cert_uri_base":
				a.CertURIBase = i.Value
			default:
				return unsupportedBy("authority " + name + ": " + i.Name)
			}
		}
	}
	if a.cert == nil {
		return refused("authority %s: CA certificate missing", name)
	}
	var err error
	s.change(func() {
		s.authorities = slices.DeleteFunc(s.authorities, func(o authority) bool { return o.Name == name })
		if err = room(len(s.authorities), "authorities"); err == nil {
			s.authorities = append(s.authorities, a)
		}
	})
	return err
}

func (s *store) dropAuthority(name string) error {
	n := 0
	s.change(func() {
		n = len(s.authorities)
		s.authorities = slices.DeleteFunc(s.authorities, func(o authority) bool { return o.Name == name })
		n -= len(s.authorities)
	})
	if n == 0 {
		return refused("unload: certification authority '%s' not found", name)
	}
	return nil
}

// clear forgets certificates, keys and secrets; authorities stay, as at
// strongSwan.
func (s *store) clear() {
	s.change(func() {
		s.secrets, s.keys, s.certs, s.others = nil, nil, nil, nil
	})
}

// named gives the names of what is loaded.
func (s *store) named() backend.Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c backend.Credentials
	for _, k := range s.keys {
		c.Keys = append(c.Keys, k.id)
	}
	for _, o := range s.secrets {
		if o.id != "" {
			c.Secrets = append(c.Secrets, o.id)
		}
	}
	return c
}
