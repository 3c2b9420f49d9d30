package doc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
)

// Certs is the document of `ipsec list-certs`.
type Certs struct {
	Schema      string      `json:"schema"`
	Source      string      `json:"source"`
	Time        string      `json:"time"`
	Certs       []Cert      `json:"certs"`
	Authorities []Authority `json:"authorities"`
}

// Cert is a certificate, CRL or public key that a daemon has loaded.
type Cert struct {
	Type       string   `json:"type"`
	Flag       string   `json:"flag,omitempty"`
	HasKey     bool     `json:"has_privkey"`
	Subject    string   `json:"subject,omitempty"`
	Issuer     string   `json:"issuer,omitempty"`
	Serial     string   `json:"serial,omitempty"` // hex
	AltNames   []string `json:"alt_names,omitempty"`
	NotBefore  string   `json:"not_before,omitempty"`
	NotAfter   string   `json:"not_after,omitempty"` // of a CRL: when the next is due
	CA         *bool    `json:"ca,omitempty"`
	KeyType    string   `json:"key_type,omitempty"`
	KeyBits    int      `json:"key_bits,omitempty"`
	Signature  string   `json:"signature,omitempty"`
	Revoked    *int     `json:"revoked,omitempty"` // entries of a CRL
	SHA256     string   `json:"sha256"`
	Data       string   `json:"data"` // DER, hex
	ParseError string   `json:"parse_error,omitempty"`
	// State is valid, expired, not-yet or unknown, at the document's time.
	State string `json:"state"`
}

// Authority is a certification authority and where to ask it about revocation.
type Authority struct {
	Name        string   `json:"name"`
	CACert      string   `json:"cacert,omitempty"`
	CRLURIs     []string `json:"crl_uris,omitempty"`
	OCSPURIs    []string `json:"ocsp_uris,omitempty"`
	CertURIBase string   `json:"cert_uri_base,omitempty"`
}

// NewCerts makes the document of `ipsec list-certs`.
func NewCerts(source string, certs []engine.Certificate, authorities []engine.Authority, now time.Time) *Certs {
	d := &Certs{Schema: CertsSchema, Source: source, Time: stamp(now), Certs: []Cert{}, Authorities: []Authority{}}
	for i := range certs {
		d.Certs = append(d.Certs, newCert(&certs[i], now))
	}
	for _, a := range authorities {
		d.Authorities = append(d.Authorities, Authority(a))
	}
	return d
}

func newCert(c *engine.Certificate, now time.Time) Cert {
	sum := sha256.Sum256(c.Data)
	d := Cert{
		Type: c.Type, Flag: c.Flag, HasKey: c.HasKey, Subject: c.Subject,
		SHA256: hex.EncodeToString(sum[:]), Data: hex.EncodeToString(c.Data), State: "unknown",
	}
	from, to := c.NotBefore, c.NotAfter
	switch c.Type {
	case "X509":
		x, err := x509.ParseCertificate(c.Data)
		if err != nil {
			d.ParseError = err.Error()
			break
		}
		d.certificate(x)
		from, to = x.NotBefore, x.NotAfter
	case "X509_CRL":
		x, err := x509.ParseRevocationList(c.Data)
		if err != nil {
			d.ParseError = err.Error()
			break
		}
		n := len(x.RevokedCertificateEntries)
		d.Issuer, d.Signature, d.Revoked = x.Issuer.String(), x.SignatureAlgorithm.String(), &n
		if x.Number != nil {
			d.Serial = hex.EncodeToString(x.Number.Bytes())
		}
		from, to = x.ThisUpdate, x.NextUpdate
	case "PUBKEY":
		key, err := x509.ParsePKIXPublicKey(c.Data)
		if err != nil {
			d.ParseError = err.Error()
			break
		}
		d.KeyType, d.KeyBits = keyKind(key)
	}
	d.NotBefore, d.NotAfter = stamp(from), stamp(to)
	switch {
	case from.IsZero() && to.IsZero():
	case now.Before(from):
		d.State = "not-yet"
	case !to.IsZero() && now.After(to):
		d.State = "expired"
	default:
		d.State = "valid"
	}
	return d
}

func (d *Cert) certificate(x *x509.Certificate) {
	ca := x.IsCA
	d.Subject, d.Issuer, d.Serial, d.CA = x.Subject.String(), x.Issuer.String(), hex.EncodeToString(x.SerialNumber.Bytes()), &ca
	d.KeyType, d.KeyBits = keyKind(x.PublicKey)
	d.Signature = x.SignatureAlgorithm.String()
	d.AltNames = append(append(d.AltNames, x.DNSNames...), x.EmailAddresses...)
	for _, ip := range x.IPAddresses {
		d.AltNames = append(d.AltNames, ip.String())
	}
	for _, u := range x.URIs {
		d.AltNames = append(d.AltNames, u.String())
	}
}

func keyKind(key any) (string, int) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "RSA", k.N.BitLen()
	case *ecdsa.PublicKey:
		return "ECDSA", k.Curve.Params().BitSize
	case ed25519.PublicKey:
		return "Ed25519", 256
	}
	return "", 0
}

// Pools is the document of `ipsec list-pools`.
type Pools struct {
	Schema string `json:"schema"`
	Source string `json:"source"`
	Time   string `json:"time"`
	Pools  []Pool `json:"pools"`
}

// Pool is a pool of virtual addresses.
type Pool struct {
	Name       string              `json:"name"`
	Base       string              `json:"base"`
	Size       uint64              `json:"size"`
	Online     uint64              `json:"online"`
	Offline    uint64              `json:"offline"`
	Leases     []Lease             `json:"leases,omitempty"` // with --leases
	Attributes map[string][]string `json:"attributes,omitempty"`
}

// Lease is one address and whom it belongs to.
type Lease struct {
	Address  string `json:"address"`
	Identity string `json:"identity"`
	Online   bool   `json:"online"`
}

// NewPools makes the document of `ipsec list-pools`.
func NewPools(source string, pools []engine.Pool, now time.Time) *Pools {
	d := &Pools{Schema: PoolsSchema, Source: source, Time: stamp(now), Pools: []Pool{}}
	for _, p := range pools {
		x := Pool{Name: p.Name, Base: p.Base, Size: p.Size, Online: p.Online, Offline: p.Offline, Attributes: p.Attributes}
		for _, l := range p.Leases {
			x.Leases = append(x.Leases, Lease(l))
		}
		d.Pools = append(d.Pools, x)
	}
	return d
}

// Algs is the document of `ipsec list-algs`.
type Algs struct {
	Schema     string      `json:"schema"`
	Source     string      `json:"source"`
	Time       string      `json:"time"`
	Algorithms []Algorithm `json:"algorithms"`
}

// Algorithm is one algorithm and the plugin that does it.
type Algorithm struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Plugin string `json:"plugin"`
}

// NewAlgs makes the document of `ipsec list-algs`.
func NewAlgs(source string, all []engine.Algorithm, now time.Time) *Algs {
	d := &Algs{Schema: AlgsSchema, Source: source, Time: stamp(now), Algorithms: []Algorithm{}}
	for _, a := range all {
		d.Algorithms = append(d.Algorithms, Algorithm(a))
	}
	return d
}

// AllCounters is the document of `ipsec counters`.
type AllCounters struct {
	Schema   string     `json:"schema"`
	Source   string     `json:"source"`
	Time     string     `json:"time"`
	Reset    bool       `json:"reset,omitempty"` // they were set to zero after they were read
	Counters []Counters `json:"counters"`
}

// Counters are the counts of one connection, or of all together.
type Counters struct {
	Connection string            `json:"connection,omitempty"` // absent: all together
	Counts     map[string]uint64 `json:"counts"`               // by VICI's names with _ for -
}

// NewCounters makes the document of `ipsec counters`; key makes a name of VICI
// a name of JSON.
func NewCounters(source string, all []engine.Counters, reset bool, now time.Time, key func(string) string) *AllCounters {
	d := &AllCounters{Schema: CountersSchema, Source: source, Time: stamp(now), Reset: reset, Counters: []Counters{}}
	for _, c := range all {
		x := Counters{Connection: c.Connection, Counts: make(map[string]uint64, len(c.Counts))}
		for name, n := range c.Counts {
			x.Counts[key(name)] = n
		}
		d.Counters = append(d.Counters, x)
	}
	return d
}

// Stats is the document of `ipsec stats`.
type Stats struct {
	Schema    string            `json:"schema"`
	Source    string            `json:"source"`
	Time      string            `json:"time"`
	Daemon    DaemonVersion     `json:"daemon"`
	Running   json.Number       `json:"running,omitzero"` // as exactly as the daemon tells it
	Since     string            `json:"since,omitempty"`
	Workers   map[string]int    `json:"workers"`
	Queues    map[string]int    `json:"queues"`
	Scheduled *int              `json:"scheduled,omitempty"`
	IKESAs    *int              `json:"ike_sas,omitempty"`
	HalfOpen  *int              `json:"half_open,omitempty"`
	Plugins   []string          `json:"plugins"`
	Memory    map[string]uint64 `json:"memory,omitempty"` // octets
}

// NewStats makes the document of `ipsec stats`.
func NewStats(source string, v engine.Version, s *engine.Stats, now time.Time) *Stats {
	d := &Stats{
		Schema: StatsSchema, Source: source, Time: stamp(now), Daemon: NewDaemonVersion(v), Since: stamp(s.Since),
		Workers: s.Workers, Queues: s.Queues, Scheduled: known(s.Scheduled), IKESAs: known(s.IKESAs), HalfOpen: known(s.HalfOpen),
		Plugins: append([]string{}, s.Plugins...), Memory: s.Memory,
	}
	if d.Workers == nil { // our own engine has none
		d.Workers = map[string]int{}
	}
	if d.Queues == nil {
		d.Queues = map[string]int{}
	}
	if s.Running > 0 {
		d.Running = decimal(s.Running)
	}
	return d
}

// Daemon is the document of the commands of `ipsec daemon`.
type Daemon struct {
	Schema  string         `json:"schema"`
	Running bool           `json:"running"`
	PID     int            `json:"pid,omitempty"`
	Dir     string         `json:"dir"`
	Source  string         `json:"source,omitempty"`
	Log     string         `json:"log,omitempty"`
	Daemon  *DaemonVersion `json:"daemon,omitempty"`
}
