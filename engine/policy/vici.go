package policy

import (
	"context"
	"crypto"
	"crypto/sha1" // the name that VICI gives to keys, no protection
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/suite"
)

// Kind is what a request loads.
type Kind string

// The kinds, in the order in which they are loaded.
const (
	KindAuthority  Kind = "authority"
	KindKey        Kind = "key"
	KindSecret     Kind = "secret"
	KindPool       Kind = "pool"
	KindConnection Kind = "connection"
)

// kinds are all kinds in that order.
var kinds = []Kind{KindAuthority, KindKey, KindSecret, KindPool, KindConnection}

// Request is one VICI request that loads a part of a policy: load-authority,
// load-key, load-shared, load-pool or load-conn.
type Request struct {
	Kind Kind
	// Name is the name that the daemon knows it by; of a key the id that
	// strongSwan makes of it, 40 hex digits.
	Name string
	// Settings are the section of an authority, a pool or a connection, with
	// certificates in place of their paths.
	Settings *backend.Section
	// Digest tells settings apart: SHA-256 of Settings, hex. Of keys and
	// secrets there is none: a digest of a password is as good as the password
	// to whoever can guess.
	Digest string

	secret suite.Secret // of a key or a secret
	eap    bool
	owners []string
}

// VICI gives the requests that load the settings, in the order to send them.
// It reads certificates, keys and secrets now.
func (t *Tree) VICI(ctx context.Context) ([]Request, error) {
	var all []Request
	add := func(kind Kind, list []Named) error {
		for _, n := range list {
			s, err := withContents(n.Settings)
			if err != nil {
				return fmt.Errorf("%s %s: %w", kind, n.Name, err)
			}
			digest, err := digestOf(s)
			if err != nil {
				return fmt.Errorf("%s %s: %w", kind, n.Name, err)
			}
			all = append(all, Request{Kind: kind, Name: n.Name, Settings: s, Digest: digest})
		}
		return nil
	}
	if err := add(KindAuthority, t.Authorities); err != nil {
		return nil, err
	}
	for _, k := range t.Keys {
		s, err := k.Resolve(ctx)
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		id, err := keyID(s)
		if err != nil {
			return nil, fmt.Errorf("private key in %s: %w", k, err)
		}
		all = append(all, Request{Kind: KindKey, Name: id, secret: s})
	}
	for i := range t.Secrets {
		c := &t.Secrets[i]
		s, err := c.Secret.Resolve(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, Request{Kind: KindSecret, Name: c.Name, secret: s, eap: c.EAP, owners: c.Owners})
	}
	if err := add(KindPool, t.Pools); err != nil {
		return nil, err
	}
	return all, add(KindConnection, t.Connections)
}

// withContents copies a section with the contents of files in place of their
// paths, as swanctl sends them.
func withContents(s *backend.Section) (*backend.Section, error) {
	out := &backend.Section{}
	for _, item := range s.Items {
		switch {
		case item.Section != nil:
			sub, err := withContents(item.Section)
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, backend.Item{Name: item.Name, Section: sub})
		case item.Name == "cacert":
			b, err := readFile(item.Value, maxCertificate)
			if err != nil {
				return nil, err
			}
			out.Set(item.Name, string(b))
		case item.Name == "certs" || item.Name == "cacerts":
			var contents []string
			for _, path := range item.List {
				b, err := readFile(path, maxCertificate)
				if err != nil {
					return nil, err
				}
				contents = append(contents, string(b))
			}
			out.SetList(item.Name, contents...)
		default:
			out.Items = append(out.Items, item)
		}
	}
	return out, nil
}

func digestOf(s *backend.Section) (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// keyID gives the name of a private key at strongSwan: SHA-1 over the octets
// of the public key in its SubjectPublicKeyInfo (RFC 5280 4.2.1.2, method 1).
func keyID(s suite.Secret) (string, error) {
	octets := s.Reveal()
	defer clear(octets)
	key, err := parseKey(octets)
	if err != nil {
		return "", err
	}
	return publicKeyID(key.Public())
}

func publicKeyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return "", err
	}
	sum := sha1.Sum(info.PublicKey.RightAlign())
	return hex.EncodeToString(sum[:]), nil
}

// send gives the request to a daemon.
func (r *Request) send(ctx context.Context, d backend.Commander) error {
	switch r.Kind {
	case KindAuthority:
		return d.LoadAuthority(ctx, r.Name, r.Settings)
	case KindPool:
		return d.LoadPool(ctx, r.Name, r.Settings)
	case KindConnection:
		return d.LoadConnection(ctx, r.Name, r.Settings)
	}
	octets := r.secret.Reveal()
	defer clear(octets)
	if r.Kind == KindKey {
		id, err := d.LoadKey(ctx, backend.KeyData{Data: octets})
		if err == nil && id != "" && id != r.Name {
			err = fmt.Errorf("the daemon knows the key as %s, not as %s", id, r.Name)
		}
		return err
	}
	kind := "IKE"
	if r.eap {
		kind = "EAP"
	}
	return d.LoadSecret(ctx, backend.Secret{ID: r.Name, Type: kind, Data: octets, Owners: r.owners})
}

// unload takes what a request loaded out of a daemon.
func unload(ctx context.Context, d backend.Commander, kind Kind, name string) error {
	switch kind {
	case KindAuthority:
		return d.UnloadAuthority(ctx, name)
	case KindKey:
		return d.UnloadKey(ctx, name)
	case KindSecret:
		return d.UnloadSecret(ctx, name)
	case KindPool:
		return d.UnloadPool(ctx, name)
	}
	return d.UnloadConnection(ctx, name)
}
