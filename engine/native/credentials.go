package native

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// material is what a connection brings itself for authentication.
type material struct {
	shared auth.SharedKeys
	keys   []*auth.PrivateKey
	own    []*x509.Certificate // of this side
	peers  []*x509.Certificate // the only ones taken from the peer; none for any
	roots  []*x509.Certificate // that may vouch for the peer; none for all that are loaded
	middle []*x509.Certificate // that complete chains
	loaded bool                // it was loaded by command: what the store has counts too
}

// maxCertificates bounds a file with certificates or a key, in octets.
const maxCertificates = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	b, err := io.ReadAll(io.LimitReader(f, maxCertificates+1))
	if err == nil && len(b) > maxCertificates {
		err = fmt.Errorf("%s: more than %d octets", path, maxCertificates)
	}
	return b, err
}

// certificatesOf reads the certificates of a file.
func certificatesOf(path string) ([]*x509.Certificate, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	list, err := auth.ParseCertificates(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// sharedOf reads the preshared keys that the policy names for a connection.
func sharedOf(ctx context.Context, c *policy.Connection) (auth.SharedKeys, error) {
	var keys auth.SharedKeys
	for i := range c.Credentials {
		secret, err := c.Credentials[i].Secret.Resolve(ctx)
		if err != nil {
			return nil, err
		}
		key := auth.SharedKey{Key: secret}
		for _, owner := range c.Credentials[i].Owners {
			id, err := auth.ParseID(owner)
			if err != nil {
				return nil, fmt.Errorf("owner of the preshared key: %w", err)
			}
			key.Owners = append(key.Owners, id)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// materialOf reads what the policy names for a connection.
func materialOf(ctx context.Context, p *policy.Policy, c *policy.Connection) (*material, error) {
	m := &material{}
	var err error
	if m.shared, err = sharedOf(ctx, c); err != nil {
		return nil, err
	}
	read := func(into *[]*x509.Certificate, path string) {
		if path == "" || err != nil {
			return
		}
		var list []*x509.Certificate
		list, err = certificatesOf(path)
		*into = append(*into, list...)
	}
	read(&m.own, c.Local.Certificate)
	read(&m.peers, c.Remote.Certificate)
	for _, path := range c.Remote.Authorities {
		read(&m.roots, path)
	}
	for i := range p.Authorities {
		if p.Authorities[i].Intermediate {
			read(&m.middle, p.Authorities[i].Certificate)
		}
	}
	if err == nil && !c.Local.Key.IsZero() {
		err = m.readKey(ctx, c)
	}
	return m, err
}

// maxMixUps is how many keys of other connections each one knows.
const maxMixUps = 64

// knowMixUps gives each connection the preshared keys of the others, so that a
// peer with a key that is for another connection is recognised.
func (e *Engine) knowMixUps(ctx context.Context) {
	var all auth.SharedKeys
	know := func(name string, keys auth.SharedKeys) {
		for _, k := range keys {
			if len(all) <= maxMixUps {
				all = append(all, auth.SharedKey{Key: k.Key, Elsewhere: name})
			}
		}
	}
	for _, c := range e.conns {
		know(c.Name, c.material.shared)
	}
	for i := range e.options.Elsewhere {
		c := &e.options.Elsewhere[i]
		if keys, err := sharedOf(ctx, c); err == nil {
			know(c.Name, keys)
		}
	}
	for _, c := range e.conns {
		if len(c.material.shared) == 0 {
			continue
		}
		for _, k := range all {
			if k.Elsewhere != c.Name {
				c.material.shared = append(c.material.shared, k)
			}
		}
	}
}

func (m *material) readKey(ctx context.Context, c *policy.Connection) error {
	secret, err := c.Local.Key.Resolve(ctx)
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	octets := secret.Reveal()
	defer clear(octets)
	defer secret.Wipe()
	key, err := auth.ParsePrivateKey(octets, suite.Secret{})
	if err != nil {
		return fmt.Errorf("private key in %s: %w", c.Local.Key, err)
	}
	m.keys = append(m.keys, key)
	if _, err := auth.NewKeyPair(key, m.own...); err != nil {
		return fmt.Errorf("private key in %s: %w", c.Local.Key, err)
	}
	return nil
}

// loadedMaterial takes the certificates of a section.
func loadedMaterial(certs *policy.Certificates) (*material, error) {
	m := &material{loaded: true}
	for _, part := range []struct {
		name string
		from [][]byte
		to   *[]*x509.Certificate
	}{{"certs of local", certs.Own, &m.own}, {"certs of remote", certs.Peer, &m.peers}, {"cacerts of remote", certs.Authorities, &m.roots}} {
		for _, b := range part.from {
			list, err := auth.ParseCertificates(b)
			if err != nil {
				return nil, refused("%s: %s", part.name, err)
			}
			*part.to = append(*part.to, list...)
		}
	}
	return m, nil
}

// credentials prove this side of a connection and check the other, with what the
// connection brings and what is loaded at the time. Like all credentials they
// serve one goroutine, the engine's.
type credentials struct {
	store       *store
	material    *material
	local, peer policy.Method
	made        auth.Credentials // of the store's changes
	changes     uint64
}

// now gives what serves at this time; it is made anew when the store has
// changed.
func (c *credentials) now() auth.Credentials {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if c.made != nil && (c.changes == c.store.changes || !c.material.loaded) {
		return c.made
	}
	c.changes = c.store.changes
	own := c.side(c.local)
	if c.made = own; c.peer != c.local {
		c.made = auth.Split{Own: own, Peer: c.side(c.peer)}
	}
	return c.made
}

// side gives the credentials of one method, with the store locked.
func (c *credentials) side(m policy.Method) auth.Credentials {
	if m == policy.PSK {
		keys := slices.Clone(c.material.shared)
		if c.material.loaded {
			for i := range c.store.secrets {
				if s := &c.store.secrets[i]; s.ike {
					keys = append(keys, s.key)
				}
			}
		}
		return keys
	}
	return c.certificates()
}

func (c *credentials) certificates() *auth.Certificates {
	m := c.material
	out := &auth.Certificates{Trusted: slices.Clone(m.roots), Intermediates: slices.Clone(m.middle), Peers: m.peers}
	own, keys := m.own, m.keys
	if m.loaded {
		for _, k := range c.store.keys {
			keys = append(keys, k.key)
		}
		for _, x := range c.store.certs {
			switch {
			case x.ca && len(m.roots) == 0:
				out.Trusted = append(out.Trusted, x.Certificate)
			case x.IsCA:
				out.Intermediates = append(out.Intermediates, x.Certificate)
			case len(m.own) == 0:
				own = append(own, x.Certificate)
			}
		}
		for i := range c.store.authorities {
			if len(m.roots) == 0 {
				out.Trusted = append(out.Trusted, c.store.authorities[i].cert)
			}
		}
	}
	if len(m.peers) > 0 { // they are believed as they are, and nobody else
		out.Trusted = slices.Clone(m.peers)
	}
	for _, x := range own {
		if k := keyFor(x, keys); k != nil {
			if pair, err := auth.NewKeyPair(k, x); err == nil {
				pair.Chain = others(m.own, x)
				out.Own = append(out.Own, pair)
			}
		}
	}
	return out
}

// others gives certificates without one.
func others(list []*x509.Certificate, but *x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(list), func(x *x509.Certificate) bool { return x == but })
}

// keyFor finds the private key of a certificate, nil where there is none.
func keyFor(x *x509.Certificate, keys []*auth.PrivateKey) *auth.PrivateKey {
	for _, k := range keys {
		if p, ok := k.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && p.Equal(x.PublicKey) {
			return k
		}
	}
	return nil
}

// Prove makes the AUTH payload.
func (c *credentials) Prove(s *auth.Statement) (*auth.Proof, error) { return c.now().Prove(s) }

// Verify checks the peer's.
func (c *credentials) Verify(s *auth.Statement, p *auth.Proof, now time.Time) *auth.Verdict {
	return c.now().Verify(s, p, now)
}

// Hashes are those to announce.
func (c *credentials) Hashes() []wire.HashAlgorithm { return c.now().Hashes() }

// Authorities are those that are trusted.
func (c *credentials) Authorities() [][]byte { return c.now().Authorities() }

// subjectOf names whom a certificate is for, as listings do.
func subjectOf(x *x509.Certificate) string {
	s, _ := wire.DNText(x.RawSubject)
	return s
}

func subjects(list []*x509.Certificate) []string {
	var all []string
	for _, x := range list {
		all = append(all, subjectOf(x))
	}
	return all
}

// certificates lists the certificates of the connections and those that were
// loaded, each once.
func (e *Engine) certificates() []engine.Certificate {
	var list []engine.Certificate
	keys := []*auth.PrivateKey{}
	add := func(certs []*x509.Certificate, ca bool) {
		for _, x := range certs {
			flag := "NONE"
			if ca || x.IsCA {
				flag = "CA"
			}
			if slices.ContainsFunc(list, func(c engine.Certificate) bool { return bytes.Equal(c.Data, x.Raw) }) {
				continue
			}
			list = append(list, engine.Certificate{Type: "X509", Flag: flag, HasKey: keyFor(x, keys) != nil, Data: x.Raw})
		}
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	for _, k := range e.store.keys {
		keys = append(keys, k.key)
	}
	for _, c := range e.configured() {
		keys = append(keys, c.material.keys...)
	}
	for _, c := range e.configured() {
		add(c.material.own, false)
		add(c.material.peers, false)
		add(c.material.roots, true)
		add(c.material.middle, true)
	}
	for _, x := range e.store.certs {
		add([]*x509.Certificate{x.Certificate}, x.ca)
	}
	for i := range e.store.authorities {
		add([]*x509.Certificate{e.store.authorities[i].cert}, true)
	}
	return append(list, e.store.others...)
}
