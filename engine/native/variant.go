package native

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Variant is another way to authenticate with the peer of a connection, that
// differs from the configured one in one thing. An engine makes a connection of
// it, which only calls.
type Variant struct {
	Name string // of the connection that it makes
	Kind string // what differs, see the constants
	// Near says more of it, where there is a word for that: of VariantPSK the kind
	// of near miss, see auth.NearMissIDs; of VariantMethod and VariantSignature
	// the method or scheme as swanctl's auth has it.
	Near string
	Says string // in words: "our key with a line feed (LF) after it"

	from               policy.Connection
	localID            wire.ID // type 0: as configured
	rules              auth.Rules
	omitIDr, omitFirst bool
	omitCerts, askEAP  bool
}

// The kinds of variants.
const (
	VariantIDr       = "idr"             // the peer's identity is not asked for
	VariantID        = "id"              // another identity of ours
	VariantIDType    = "id-type"         // our identity in the same words and another type
	VariantPSK       = "psk"             // a near miss of the preshared key
	VariantMethod    = "method"          // a certificate instead of a preshared key, or the other way round
	VariantEAP       = "eap"             // EAP is asked for instead of a proof given
	VariantSignature = "signature"       // another form of signature or hash
	VariantCerts     = "certificates"    // none are sent
	VariantFirst     = "initial-contact" // INITIAL_CONTACT is not sent
)

// earlyNear is how many near misses of the key go before other variants.
const earlyNear = 4

// Variants gives the ways to authenticate with the peer of a connection that the
// policy holds beside the configured one, the likelier first; own is the address
// that this side sends from. Others are further connections of the policy,
// whose way to authenticate may have been meant.
func Variants(ctx context.Context, p *policy.Policy, c *policy.Connection, others []policy.Connection, own netip.Addr) ([]Variant, error) {
	m, err := materialOf(ctx, p, c)
	if err != nil {
		return nil, err
	}
	id, err := ownIdentity(c, m, own)
	if err != nil {
		return nil, err
	}
	var first, near, last []Variant
	if c.Remote.ID != "" && c.Remote.ID != "%any" {
		first = append(first, Variant{Kind: VariantIDr, omitIDr: true, Says: "without asking for the peer's identity " + c.Remote.ID})
	}
	if c.Local.Method == policy.PSK && len(m.shared) > 0 {
		for _, n := range auth.NearMisses(m.shared[0].Key) {
			near = append(near, Variant{Kind: VariantPSK, Near: n.ID, Says: "our key " + n.Says})
		}
	}
	for _, other := range identities(&id, m, own) {
		kind := VariantID
		if strings.EqualFold(auth.PlainID(&other), auth.PlainID(&id)) {
			kind = VariantIDType
		}
		last = append(last, Variant{Kind: kind, localID: other, Says: fmt.Sprintf("our identity %s as %s", auth.PlainID(&other), other.Type)})
	}
	last = append(last, otherMethods(c, others)...)
	last = append(last, Variant{Kind: VariantEAP, askEAP: true, Says: "asking for EAP, without a proof"})
	if c.Local.Method == policy.Pubkey && len(m.own) > 0 {
		last = append(last, signatures(m.own[0].PublicKey)...)
	}
	last = append(last, Variant{Kind: VariantFirst, omitFirst: true, Says: "without INITIAL_CONTACT"})
	if c.Local.Method == policy.Pubkey {
		last = append(last, Variant{Kind: VariantCerts, omitCerts: true, Says: "without our certificates"})
	}
	early := min(earlyNear, len(near))
	all := slices.Concat(first, near[:early], last, near[early:])
	for i := range all {
		if all[i].from.Name == "" {
			all[i].from = *c
		}
		all[i].Name = fmt.Sprintf("%s~%d", c.Name, i+1)
		all[i].from.Name = all[i].Name
	}
	return all, nil
}

// identities gives what this side may be called beside its identity: those of
// its certificate, or the same words in another type and its address.
func identities(id *wire.ID, m *material, own netip.Addr) []wire.ID {
	var list []wire.ID
	add := func(t wire.IDType, data []byte) {
		n := wire.ID{Type: t, Data: data}
		same := func(o wire.ID) bool { return auth.SameID(&o, &n) }
		if len(data) > 0 && len(list) < 8 && !same(*id) && !slices.ContainsFunc(list, same) {
			list = append(list, n)
		}
	}
	address := func(a netip.Addr) {
		if a = a.Unmap(); a.Is4() {
			add(wire.IDIPv4Addr, a.AsSlice())
		} else if a.IsValid() {
			add(wire.IDIPv6Addr, a.AsSlice())
		}
	}
	if len(m.own) > 0 {
		x := m.own[0]
		add(wire.IDDERASN1DN, x.RawSubject)
		for _, n := range x.DNSNames {
			add(wire.IDFQDN, []byte(n))
		}
		for _, n := range x.EmailAddresses {
			add(wire.IDRFC822Addr, []byte(n))
		}
		for _, ip := range x.IPAddresses {
			if a, ok := netip.AddrFromSlice(ip); ok {
				address(a)
			}
		}
		return list
	}
	words := auth.PlainID(id)
	if dn, err := auth.ParseID(words); err == nil && dn.Type == wire.IDDERASN1DN {
		add(dn.Type, dn.Data)
	}
	if a, err := netip.ParseAddr(words); err == nil {
		address(a)
	}
	add(wire.IDKeyID, []byte(words))
	add(wire.IDFQDN, []byte(words))
	if strings.Contains(words, "@") || id.Type == wire.IDFQDN {
		add(wire.IDRFC822Addr, []byte(words))
	}
	address(own)
	return list
}

// signatures gives the forms in which a key signs beside the usual one: RSASSA-PSS
// with SHA2-256 of RSA keys, and of ECDSA keys the hash of their own strength.
func signatures(key crypto.PublicKey) []Variant {
	form := func(near, says string, pkcs1 bool, h wire.HashAlgorithm) Variant {
		return Variant{Kind: VariantSignature, Near: near, Says: "a signature by " + says, rules: auth.Rules{PKCS1: pkcs1, Hashes: []wire.HashAlgorithm{h}}}
	}
	older := Variant{Kind: VariantSignature, rules: auth.Rules{OlderOnly: true, SHA1: true}, Says: "a signature by the older methods, without RFC 7427"}
	switch k := key.(type) {
	case *rsa.PublicKey:
		return []Variant{
			form("rsa-sha256", "RSASSA-PKCS1-v1_5 with SHA2-256", true, wire.HashSHA256),
			form("rsa/pss-sha384", "RSASSA-PSS with SHA2-384", false, wire.HashSHA384),
			form("rsa-sha384", "RSASSA-PKCS1-v1_5 with SHA2-384", true, wire.HashSHA384),
			form("rsa/pss-sha512", "RSASSA-PSS with SHA2-512", false, wire.HashSHA512),
			form("rsa-sha512", "RSASSA-PKCS1-v1_5 with SHA2-512", true, wire.HashSHA512),
			older,
		}
	case *ecdsa.PublicKey:
		var list []Variant
		for _, f := range []struct {
			curve, bits int // the curve whose usual hash it is, and that hash's
			hash        wire.HashAlgorithm
		}{{256, 256, wire.HashSHA256}, {384, 384, wire.HashSHA384}, {521, 512, wire.HashSHA512}} {
			if k.Curve.Params().BitSize != f.curve {
				list = append(list, form(fmt.Sprintf("ecdsa-sha%d", f.bits), fmt.Sprintf("ECDSA with SHA2-%d", f.bits), false, f.hash))
			}
		}
		return append(list, older)
	}
	return nil // Ed25519 signs in one form only
}

// otherMethods gives the way in which this side authenticates elsewhere, where
// it is another one.
func otherMethods(c *policy.Connection, others []policy.Connection) []Variant {
	for i := range others {
		o := &others[i]
		if o.Local.Method == c.Local.Method || o.Local.Method.EAP() {
			continue
		}
		from := *c
		from.Local = o.Local
		from.Credentials = append(slices.Clone(c.Credentials), o.Credentials...)
		says := "by a preshared key, that of connection " + o.Name
		if o.Local.Method == policy.Pubkey {
			says = "by a certificate, that for connection " + o.Name
		}
		return []Variant{{Kind: VariantMethod, Near: string(o.Local.Method), from: from, Says: says}}
	}
	return nil
}

// connection makes the connection of a variant.
func (o *Options) connection(ctx context.Context, v *Variant, local netip.Addr, s *store) (*configured, error) {
	m, err := materialOf(ctx, o.Policy, &v.from)
	if err != nil {
		return nil, err
	}
	for i := range m.shared {
		m.shared[i].Owners = nil // the identities vary
	}
	if v.Kind == VariantPSK && len(m.shared) > 0 {
		for _, n := range auth.NearMisses(m.shared[0].Key) {
			if n.ID == v.Near {
				m.shared[0].Key = n.Key
			}
		}
	}
	c, err := o.convert(ctx, &v.from, m, local, s)
	if err != nil {
		return nil, err
	}
	c.CallOnly, c.OmitInitialContact, c.AskEAP = true, v.omitFirst, v.askEAP
	if v.localID.Type != 0 {
		c.LocalID = v.localID
	}
	if v.omitIDr {
		c.RemoteID = auth.Pattern{}
	}
	c.Connection.Credentials = &varied{c.Connection.Credentials.(*credentials), v}
	return c, nil
}

// varied are the credentials of a variant.
type varied struct {
	*credentials
	v *Variant
}

// Prove makes the AUTH payload, and leaves the certificates out where the
// variant does.
func (c *varied) Prove(s *auth.Statement) (*auth.Proof, error) {
	var own auth.Credentials = c.credentials.now()
	if split, ok := own.(auth.Split); ok {
		own = split.Own
	}
	if certs, ok := own.(*auth.Certificates); ok {
		with := *certs
		with.Rules = c.v.rules
		own = &with
	}
	p, err := own.Prove(s)
	if err == nil && c.v.omitCerts {
		p.Certs = nil
	}
	return p, err
}

// Hashes are those to announce.
func (c *varied) Hashes() []wire.HashAlgorithm {
	if c.v.rules.OlderOnly {
		return nil
	}
	return c.credentials.Hashes()
}

var _ auth.Credentials = (*varied)(nil)

// addVariants makes the connections of the variants.
func (e *Engine) addVariants(ctx context.Context, local netip.Addr) ([]*ike.Connection, error) {
	var conns []*ike.Connection
	for i := range e.options.Variants {
		v := &e.options.Variants[i]
		c, err := e.options.connection(ctx, v, local, &e.store)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.Says, err)
		}
		conns = append(conns, c.Connection)
		e.conns = append(e.conns, c)
	}
	return conns, nil
}
