// Package backend is the one view that commands and the screen have of an IKE
// daemon: strongSwan over VICI or our own engine. It lists what is configured
// and what is active, acts on it, and tells what happens as events.
//
// Contract: every call is bounded by its context and returns soon after the
// context ends. An error wraps ErrUnreachable, ErrRefused, ErrProtocol or
// ErrUnsupported, so that a caller knows whom to blame. What a daemon does not
// tell is absent in the model. A Backend is safe for concurrent use.
package backend

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// The kinds of failure. Match them with errors.Is.
var (
	// ErrUnreachable says that the daemon is not there, does not let us in, or
	// did not answer in time.
	ErrUnreachable = errors.New("daemon unreachable")
	// ErrRefused says that the daemon understood and refused, or tried and
	// failed.
	ErrRefused = errors.New("refused by the daemon")
	// ErrProtocol says that what answered does not speak the protocol.
	ErrProtocol = errors.New("protocol violated by the daemon")
	// ErrUnsupported says that this kind or version of daemon cannot do it.
	ErrUnsupported = errors.New("not supported by the daemon")
)

// Native is what Version says of the daemon where it is our own engine.
const Native = "cvlanctl"

// Backend is one IKE daemon.
type Backend interface {
	// Source names the backend as --source does: "vici:/run/charon.vici".
	Source() string
	// State says how the daemon was when it was last heard of; it does not
	// wait.
	State() State
	// Close ends the backend's connections and all that it runs.
	Close() error

	Lister
	Commander

	// Events yields what happens until ctx ends: a Table at the start and
	// after every reconnection, then each change, log line and alert, and a
	// Table again every Options' interval. Losing the daemon yields a Gap,
	// and the stream goes on when it is back; so no error is final but the
	// first, where the daemon was never reached. An event is valid until the
	// next.
	Events(ctx context.Context, o EventOptions) iter.Seq2[*event.Event, error]
}

// Lister is what a daemon can be asked.
type Lister interface {
	Version(ctx context.Context) (engine.Version, error)
	Stats(ctx context.Context) (engine.Stats, error)
	Connections(ctx context.Context) ([]*engine.Connection, error)
	// SAs lists IKE SAs with their CHILD SAs; it never waits for a busy one.
	SAs(ctx context.Context, f Filter) ([]*engine.IKESA, error)
	Policies(ctx context.Context) ([]engine.Policy, error)
	Certificates(ctx context.Context) ([]engine.Certificate, error)
	Authorities(ctx context.Context) ([]engine.Authority, error)
	// Pools lists pools of virtual addresses, with their leases where asked.
	Pools(ctx context.Context, leases bool) ([]engine.Pool, error)
	Algorithms(ctx context.Context) ([]engine.Algorithm, error)
	// Counters gives the counts for one connection, or for all together ("").
	Counters(ctx context.Context, connection string) (engine.Counters, error)
	ResetCounters(ctx context.Context, connection string) error
	// Credentials names what is loaded.
	Credentials(ctx context.Context) (Credentials, error)
	// Recall gives what the daemon remembers of what it told, the oldest first,
	// with every comparison that failed: bounded, without Tables, and without
	// what was told before since. A daemon that keeps nothing gives nothing.
	Recall(ctx context.Context, since time.Time) ([]*event.Event, error)
	// Snapshot lists connections and SAs at one moment and joins them. When
	// the daemon is lost it gives the last snapshot there was, marked as
	// such, beside the error; nil where there never was one.
	Snapshot(ctx context.Context) (*Snapshot, error)
}

// Commander is what a daemon can be told. A progress function gets the
// daemon's log lines of the command as events while it runs, on the calling
// goroutine; it may be nil.
type Commander interface {
	// Up brings a child, or with no child an IKE SA, up and waits for it.
	Up(ctx context.Context, t Target, o UpOptions, progress Progress) error
	// Down takes matching SAs down and waits for it.
	Down(ctx context.Context, t Target, o DownOptions, progress Progress) error
	// Rekey starts the rekeying of matching SAs and gives their number; it
	// does not wait for the peer.
	Rekey(ctx context.Context, t Target, o RekeyOptions) (int, error)
	// DPD waits for a liveness check of the connection's peer.
	DPD(ctx context.Context, connection string, progress Progress) (Probe, error)
	// Redirect tells the peer of matching SAs to go to another gateway
	// (RFC 5685) and gives the number of SAs.
	Redirect(ctx context.Context, t Target, gateway string) (int, error)
	// Install puts the trap, pass or drop policy of a child in place.
	Install(ctx context.Context, t Target) error
	Uninstall(ctx context.Context, t Target) error
	// ReloadSettings has the daemon read its settings file again.
	ReloadSettings(ctx context.Context) error

	// LoadConnection adds or replaces a connection; the section is what
	// swanctl.conf has under connections.NAME.
	LoadConnection(ctx context.Context, name string, settings *Section) error
	UnloadConnection(ctx context.Context, name string) error
	LoadAuthority(ctx context.Context, name string, settings *Section) error
	UnloadAuthority(ctx context.Context, name string) error
	// LoadPool adds or replaces a pool: addrs, and attributes by name.
	LoadPool(ctx context.Context, name string, settings *Section) error
	UnloadPool(ctx context.Context, name string) error
	// LoadCertificate loads a certificate or CRL, DER or PEM.
	LoadCertificate(ctx context.Context, c CertificateData) error
	// LoadKey loads a private key, DER or PEM, unencrypted, and gives its id.
	LoadKey(ctx context.Context, k KeyData) (string, error)
	UnloadKey(ctx context.Context, id string) error
	LoadToken(ctx context.Context, t TokenData) (string, error)
	LoadSecret(ctx context.Context, s Secret) error
	UnloadSecret(ctx context.Context, id string) error
	// FlushCertificates forgets fetched and received certificates of a type,
	// "" for all.
	FlushCertificates(ctx context.Context, kind string) error
	// ClearCredentials forgets every loaded certificate, key and secret.
	ClearCredentials(ctx context.Context) error
}

// Progress is told what happens while a command runs. The event is valid
// during the call.
type Progress func(*event.Event)

// State is how a daemon stands.
type State struct {
	Live  bool      // the last that was heard of it was an answer
	Since time.Time // of that; zero before the first attempt
	Err   error     // why it is not live; nil before the first attempt
}

// Filter narrows a listing of SAs. The zero value is everything.
type Filter struct {
	IKE     string // name of the connection
	IKEID   uint32 // unique id, 0 for any
	Child   string
	ChildID uint32
}

// Target is what a command acts on: by name or by unique id.
type Target struct {
	IKE     string
	IKEID   uint32
	Child   string
	ChildID uint32
	PeerIP  string // Redirect: address, range or subnet of peers
	PeerID  string // Redirect: identity of peers, may hold wildcards
}

// UpOptions says how to bring up.
type UpOptions struct {
	// LogLevel of the progress, -1 to 4; absent means the usual, 1. From level
	// 4 on, strongSwan tells keys: whoever asks for it handles them as such.
	LogLevel engine.Opt[int]
	// NoWait only starts it.
	NoWait bool
	// IgnoreLimits starts it in spite of the daemon's limits on half-open SAs.
	IgnoreLimits bool
}

// DownOptions says how to take down.
type DownOptions struct {
	LogLevel engine.Opt[int]
	// Force ends IKE SAs without waiting for the peer's answer.
	Force  bool
	NoWait bool
}

// RekeyOptions says how to rekey.
type RekeyOptions struct {
	// Reauth makes the IKE SA anew instead of rekeying it.
	Reauth bool
}

// Probe is the outcome of a liveness check.
type Probe struct {
	Sent            time.Time
	Answered        bool
	RTT             engine.Opt[time.Duration]
	Retransmissions int
}

// Credentials names loaded keys and secrets, never their contents.
type Credentials struct {
	Keys    []string // ids of private keys (SHA-1 of the public key, hex)
	Secrets []string // ids of shared secrets
}

// CertificateData is a certificate to load.
type CertificateData struct {
	Type string // X509, X509_AC, X509_CRL, OCSP_RESPONSE, PUBKEY; "" means X509
	Flag string // NONE, CA, AA, OCSP; "" means NONE
	Data []byte // DER or PEM
}

// KeyData is a private key to load.
type KeyData struct {
	Type string // rsa, ecdsa, ed25519, ... or any; "" means any
	Data []byte // DER or PEM
}

// String does not tell the key.
func (k KeyData) String() string { return "private key (" + k.Type + ")" }

// GoString does not tell the key.
func (k KeyData) GoString() string { return k.String() }

// TokenData names a private key on a token.
type TokenData struct {
	Handle string // hex id of the key
	Slot   string
	Module string
	PIN    string
}

// String does not tell the PIN.
func (t TokenData) String() string { return "key " + t.Handle + " on a token" }

// GoString does not tell the PIN.
func (t TokenData) GoString() string { return t.String() }

// Secret is a shared secret to load.
type Secret struct {
	ID     string   // to unload it by; "" for none
	Type   string   // IKE, EAP, XAUTH, NTLM, PPK
	Data   []byte   // the secret's octets
	Owners []string // identities that it is for; none means any
}

// String does not tell the secret.
func (s Secret) String() string { return s.Type + " secret " + s.ID }

// GoString does not tell the secret.
func (s Secret) GoString() string { return s.String() }

// EventOptions says what Events is to yield.
type EventOptions struct {
	// Every is the interval between Tables; 0 means a second, negative means
	// only at the start and after a reconnection.
	Every time.Duration
	// Past has what the daemon remembers come first, before the first Table, and
	// nothing of it twice: see Recall.
	Past bool
	// NoLog leaves log lines out.
	NoLog bool
	// Buffer is how many events may wait for a slow reader before the oldest
	// are dropped and a Gap says so; 0 means 8192.
	Buffer int
}
