package policy

import (
	"net/netip"
	"time"
)

// Policy is a policy file with every default put in and every path absolute.
// It is what all that follows reads: strongSwan's settings are made from it,
// and our own engine takes Connections as they stand.
type Policy struct {
	Authorities []Authority // in the order of the file
	Pools       []Pool
	Connections []Connection // one a peer
}

// Authority is a certification authority that this node believes.
type Authority struct {
	Name        string
	Certificate string // path
	CRL         []string
	OCSP        []string
	// Intermediate is set for authorities that only complete the chain of this
	// node's own certificate; no peer is believed for their sake alone.
	Intermediate bool
}

// Pool is a pool of inner addresses for peers.
type Pool struct {
	Name    string
	Range   Range
	DNS     []netip.Addr
	Subnets []netip.Prefix
}

// Method is how one side of an IKE SA proves its identity.
type Method string

// The methods, in swanctl's words.
const (
	PSK         Method = "psk"
	Pubkey      Method = "pubkey" // a certificate and a signature
	EAPTLS      Method = "eap-tls"
	EAPMSCHAPv2 Method = "eap-mschapv2"
)

// EAP says whether the method is one of EAP.
func (m Method) EAP() bool { return m == EAPTLS || m == EAPMSCHAPv2 }

// Auth is how one side proves who it is.
type Auth struct {
	Method      Method
	ID          string // IKE identity; "" is the address for this node and any for the peer
	EAPID       string // of the side that authenticates by EAP; "" is any
	Certificate string // path: this node's own, or the only one taken from the peer
	Key         SecretRef
	Authorities []string // paths of the authorities that may vouch for the peer
	Revocation  string   // relaxed, ifuri or strict
}

// Credential is a secret and whom it belongs to.
type Credential struct {
	Name   string // unique within the policy
	EAP    bool   // a password of EAP rather than a preshared key of IKE
	Owners []string
	Secret SecretRef
}

// Connection is one peer: everything about its IKE SA.
type Connection struct {
	Name        string
	LocalAddrs  []Address
	RemoteAddrs []Address
	RemotePort  uint16 // 0 is 500
	Local       Auth
	Remote      Auth
	Credentials []Credential

	Proposals     []Proposal    // best first
	Rekey         time.Duration // 0 is never; all lifetimes are of whole seconds
	Reauth        time.Duration // 0 is never
	Hard          time.Duration // 0 is none
	Jitter        time.Duration // subtracted, at random up to this, from Rekey and Reauth
	Unique        string        // no, never, keep, replace
	Fragmentation string        // yes, accept, force, no (RFC 7383)
	MOBIKE        bool
	DPD           DPD
	NAT           string       // auto, force, off
	VirtualAddrs  []netip.Addr // to ask for; the unspecified address leaves the choice to the peer
	Pools         []string     // that the peer gets addresses from
	Children      []Child
}

// DPD is dead peer detection.
type DPD struct {
	Interval time.Duration // of silence before a probe; 0 is never
	Timeout  time.Duration // for an answer
	Retries  int
	Action   string // clear, restart, trap
}

// Child is one tunnel: everything about its CHILD SAs.
type Child struct {
	Name      string
	Local     []Selector
	Remote    []Selector
	Proposals []Proposal
	Transport bool   // mode transport instead of tunnel
	Start     string // none, trap, start
	Close     string // what follows when the peer closes it: none, trap, start
	Time      Limits[time.Duration]
	Octets    Limits[uint64]
	Packets   Limits[uint64]
}

// Limits are the limits of a CHILD SA's life in one measure; 0 is none.
type Limits[T ~int64 | ~uint64] struct {
	Rekey  T // when a new SA is made
	Hard   T // when the SA ends
	Jitter T // subtracted, at random up to this, from Rekey
}
