package engine

import (
	"time"
)

// Connection is a configured connection: what an IKE SA may be made from.
// Fields that a daemon does not tell are absent; strongSwan over VICI tells no
// proposals.
type Connection struct {
	Name        string
	Loaded      Opt[bool] // by command, and not from the daemon's own configuration
	LocalAddrs  []string  // addresses, ranges, subnets or names; "%any" is any
	RemoteAddrs []string
	LocalPort   Opt[uint16]
	RemotePort  Opt[uint16]
	Version     string             // IKEv1, IKEv2 or IKEv1/2, as swanctl prints it
	Proposals   []string           // in swanctl's spelling; nil where not known
	RekeyTime   Opt[time.Duration] // 0 is never
	ReauthTime  Opt[time.Duration] // 0 is never
	OverTime    Opt[time.Duration] // hard limit beyond rekeying
	DPDDelay    Opt[time.Duration] // absent or 0: no liveness checks
	DPDTimeout  Opt[time.Duration] // IKEv1 only
	Unique      string             // UNIQUE_NO, UNIQUE_REPLACE, UNIQUE_KEEP, UNIQUE_NEVER; "" where not known
	PPKID       string
	PPKRequired Opt[bool]
	Local       []AuthRound // in order of the rounds
	Remote      []AuthRound
	Children    []*ChildConfig // in the daemon's order
}

// AuthRound is one round of authentication of one side (RFC 4739 allows
// several).
type AuthRound struct {
	Class      string // "public key", "pre-shared key", "EAP", "any", as the daemon says it
	EAPType    string
	EAPVendor  string
	XAuth      string
	Revocation string
	ID         string
	AAAID      string
	EAPID      string
	XAuthID    string
	CAID       string
	Groups     []string
	Certs      []string // subjects of the certificates demanded or offered
	CACerts    []string
	Policies   []string // certificate policies demanded
}

// ChildConfig is a configured child: what a CHILD SA may be made from.
type ChildConfig struct {
	Name         string
	Mode         string // TUNNEL, TRANSPORT, BEET, PASS or DROP
	Label        string
	RekeyTime    Opt[time.Duration] // 0 is never
	RekeyBytes   Opt[uint64]
	RekeyPackets Opt[uint64]
	LocalTS      []string
	RemoteTS     []string
	Proposals    []string // ESP or AH; nil where not known
	DPDAction    string   // clear, trap (hold), start (restart); "" where none or not known
	CloseAction  string
	StartAction  string
	Interface    string
	Priority     Opt[uint32]
}

// Version says what a daemon is.
type Version struct {
	Daemon  string // charon-systemd
	Version string // 5.9.8
	SysName string // Linux
	Release string // of the system's kernel
	Machine string
}

// Stats is the state of a daemon as a whole.
type Stats struct {
	Running time.Duration  // since its start
	Since   time.Time      // its start, as the daemon's clock has it; zero where not known
	Workers map[string]int // total, idle, and busy ones by priority ("active.high")
	Queues  map[string]int // waiting jobs by priority
	// Scheduled counts jobs that wait for their time.
	Scheduled Opt[int]
	IKESAs    Opt[int] // all IKE SAs
	HalfOpen  Opt[int] // of them, not yet established
	Plugins   []string
	// Memory in octets, by kind (mallinfo: sbrk, mmap, used, free).
	Memory map[string]uint64
}

// Pool is a pool of virtual addresses.
type Pool struct {
	Name    string
	Base    string // first address
	Size    uint64 // addresses
	Online  uint64 // leased now
	Offline uint64 // leased before and kept for their owner
	// Leases are given only when they were asked for.
	Leases []Lease
	// Attributes are further configuration payload attributes.
	Attributes map[string][]string
}

// Lease is one address of a Pool and whom it belongs to.
type Lease struct {
	Address  string
	Identity string
	Online   bool
}

// Certificate is one certificate or CRL that a daemon has loaded.
type Certificate struct {
	Type      string // X509, X509_AC, X509_CRL, OCSP_RESPONSE, PUBKEY
	Flag      string // NONE, CA, AA, OCSP; "" for others than X.509
	HasKey    bool   // the daemon has its private key
	Data      []byte // DER
	Subject   string // of a raw public key, where one is given
	NotBefore time.Time
	NotAfter  time.Time
}

// Authority is a certification authority and where to ask it about
// revocation.
type Authority struct {
	Name        string
	CACert      string // subject
	CRLURIs     []string
	OCSPURIs    []string
	CertURIBase string
}

// Policy is an installed trap, pass or drop policy.
type Policy struct {
	Connection string // "" for one that belongs to no connection
	Child      string
	Mode       string // TUNNEL, TRANSPORT, PASS, DROP
	Label      string
	LocalTS    []string
	RemoteTS   []string
}

// Kind gives what a policy does in swanctl's words: "trap" has traffic bring the
// child up, "pass" keeps traffic out of every tunnel, "drop" drops it.
func (p *Policy) Kind() string {
	switch p.Mode {
	case "PASS":
		return "pass"
	case "DROP":
		return "drop"
	}
	return "trap"
}

// Algorithm is one algorithm that a daemon can do and the plugin that does it.
type Algorithm struct {
	Kind   string // encryption, integrity, aead, hasher, prf, xof, kdf, drbg, ke (dh), rng, nonce-gen
	Name   string
	Plugin string
}

// Counters are a daemon's counts of messages and rekeyings, for all
// connections or for one.
type Counters struct {
	Connection string // "" for all together
	Counts     map[string]uint64
}
