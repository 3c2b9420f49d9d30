// Package engine is the model that every source and every face shares: IKE
// SAs, CHILD SAs, suites, NAT, timers. The words are swanctl's (ESTABLISHED,
// INSTALLED, local_ts), the numbers the RFCs'.
//
// A field that a source cannot know is absent, never zero: Opt fields say so
// themselves, strings and slices by being empty. On a capture nobody is
// "local": the local side of an SA is then its original initiator.
package engine

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Opt is a value that a source may not know. The zero Opt is absent.
type Opt[T any] struct {
	value T
	known bool
}

// Some makes a known value.
func Some[T any](v T) Opt[T] { return Opt[T]{v, true} }

// Get gives the value and whether it is known.
func (o Opt[T]) Get() (T, bool) { return o.value, o.known }

// Or gives the value, or def where it is not known.
func (o Opt[T]) Or(def T) T {
	if o.known {
		return o.value
	}
	return def
}

// IsZero says that the value is not known; encoding/json's omitzero reads it.
func (o Opt[T]) IsZero() bool { return !o.known }

// MarshalJSON writes the value, or null where it is not known.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.known {
		return []byte("null"), nil
	}
	return json.Marshal(o.value)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = Opt[T]{}
		return nil
	}
	o.known = true
	return json.Unmarshal(b, &o.value)
}

// IKEState is the state of an IKE SA, in swanctl's words; FAILED and DELETED
// are ours, for SAs that a trace remembers after their end.
type IKEState string

// The states of an IKE SA.
const (
	IKECreated     IKEState = "CREATED"
	IKEConnecting  IKEState = "CONNECTING"
	IKEEstablished IKEState = "ESTABLISHED"
	IKEPassive     IKEState = "PASSIVE"
	IKERekeying    IKEState = "REKEYING"
	IKERekeyed     IKEState = "REKEYED"
	IKEDeleting    IKEState = "DELETING"
	IKEDestroying  IKEState = "DESTROYING"
	IKEDeleted     IKEState = "DELETED" // ended by a DELETE
	IKEFailed      IKEState = "FAILED"  // ended by an error or by silence
)

// ChildState is the state of a CHILD SA, in swanctl's words.
type ChildState string

// The states of a CHILD SA.
const (
	ChildCreated    ChildState = "CREATED"
	ChildRouted     ChildState = "ROUTED"
	ChildInstalling ChildState = "INSTALLING"
	ChildInstalled  ChildState = "INSTALLED"
	ChildUpdating   ChildState = "UPDATING"
	ChildRekeying   ChildState = "REKEYING"
	ChildRekeyed    ChildState = "REKEYED"
	ChildRetrying   ChildState = "RETRYING"
	ChildDeleting   ChildState = "DELETING"
	ChildDeleted    ChildState = "DELETED"
	ChildDestroying ChildState = "DESTROYING"
	ChildFailed     ChildState = "FAILED"
)

// Suite is a negotiated set of transforms, by IANA's names; EncrKeySize is in
// bits, 0 where the transform has none.
type Suite struct {
	EncrAlg     string `json:"encr_alg,omitempty"`
	EncrID      uint16 `json:"encr_id,omitempty"`
	EncrKeySize int    `json:"encr_keysize,omitempty"`
	IntegAlg    string `json:"integ_alg,omitempty"`
	IntegID     uint16 `json:"integ_id,omitempty"`
	// IntegKeySize is in bits, as a daemon tells it; 0 where not known.
	IntegKeySize int       `json:"integ_keysize,omitempty"`
	PRFAlg       string    `json:"prf_alg,omitempty"`
	PRFID        uint16    `json:"prf_id,omitempty"`
	DHGroup      string    `json:"dh_group,omitempty"`
	DHID         uint16    `json:"dh_id,omitempty"`
	AKE          []string  `json:"ake,omitempty"` // additional key exchanges (RFC 9370)
	ESN          Opt[bool] `json:"esn,omitzero"`
	Keyword      string    `json:"proposal,omitempty"` // in swanctl's spelling, aes256gcm16-prfsha256-ecp256
}

// Side is one end of an IKE SA.
type Side struct {
	Host netip.Addr
	Port uint16 // UDP or TCP port last used, 0 where none
	ID   string // identity as swanctl prints it, "" where not known
}

// AddrPort gives address and port together.
func (s Side) AddrPort() netip.AddrPort { return netip.AddrPortFrom(s.Host, s.Port) }

// NAT says what is known about address translation on the path of an IKE SA.
type NAT struct {
	Local  Opt[bool] `json:"nat_local,omitzero"`  // the local side is behind a NAT
	Remote Opt[bool] `json:"nat_remote,omitzero"` // the remote side is behind a NAT
	Fake   Opt[bool] `json:"nat_fake,omitzero"`   // UDP encapsulation was forced by a false hash
	Any    Opt[bool] `json:"nat_any,omitzero"`
}

// Timer is one named deadline of an SA: retransmit, rekey, reauth, dpd,
// nat-keepalive, half-open, delete.
type Timer struct {
	Name string    `json:"name"`
	Due  time.Time `json:"due"`
}

// DPD is what is known about the liveness of an IKE SA's peer.
type DPD struct {
	Delay     Opt[time.Duration] // configured interval
	Probes    int                // empty INFORMATIONAL requests seen
	Answered  int                // of those, answered
	LastHeard time.Time          // last authenticated traffic of the peer, zero where not known
	RTT       Opt[time.Duration] // of the last probe answered
}

// IKESA is one IKE SA.
type IKESA struct {
	Name         string // connection, "" where the source has no configuration
	UniqueID     uint32 // the daemon's number, 0 where there is none
	Version      int    // 1 or 2
	State        IKEState
	InitiatorSPI wire.SPI
	ResponderSPI wire.SPI // 0 until the responder has answered
	Local        Side
	Remote       Side
	Initiator    Opt[bool] // the local side initiated
	Suite        Suite
	NAT          NAT
	DPD          DPD
	Established  time.Time // zero where not known
	Timers       []Timer
	Children     []*ChildSA

	// What only a daemon tells.
	RemoteEAPID   string      // EAP identity of the peer, where it differs from its IKE identity
	RemoteXAuthID string      // the same for IKEv1's XAuth
	IfIDIn        Opt[uint32] // XFRM interface
	IfIDOut       Opt[uint32]
	PPK           Opt[bool] // a post-quantum preshared key was mixed in (RFC 8784)
	LocalVIPs     []string  // virtual addresses
	RemoteVIPs    []string
	TasksQueued   []string // what the daemon has still to do, waits for an answer to, and answers
	TasksActive   []string
	TasksPassive  []string
	Waiting       string // in words, what our own engine waits for; "" where not known
}

// ChildSA is one CHILD SA (or IKEv1 quick mode SA) with its two ESP or AH SAs.
type ChildSA struct {
	Name      string
	UniqueID  uint32
	State     ChildState
	Mode      string // TUNNEL, TRANSPORT or BEET
	Protocol  string // ESP or AH
	Encap     Opt[bool]
	SPIIn     Opt[wire.ESPSPI] // of the SA towards the local side
	SPIOut    Opt[wire.ESPSPI]
	Suite     Suite
	LocalTS   []string
	RemoteTS  []string
	BytesIn   Opt[uint64] // octets of inner packets where known, else of ESP packets
	PacketsIn Opt[uint64]
	// MissingIn is how many packets the peer has sent, by their sequence
	// numbers, that did not come: only our own engine tells it.
	MissingIn Opt[uint64]
	// ReplayedIn are packets that came before or too late, FailedIn those whose
	// integrity check failed or that were no whole ESP packets, OutsideIn those whose inner addresses are outside
	// the selectors: dropped, and told by our own engine only.
	ReplayedIn Opt[uint64]
	FailedIn   Opt[uint64]
	OutsideIn  Opt[uint64]
	BytesOut   Opt[uint64]
	PacketsOut Opt[uint64]
	LastIn     time.Time // last packet, zero where none or not known
	LastOut    time.Time
	Installed  time.Time

	// What only a daemon tells.
	ReqID   Opt[uint32]
	CPIIn   Opt[uint16] // IPComp
	CPIOut  Opt[uint16]
	MarkIn  Opt[Mark]
	MarkOut Opt[Mark]
	IfIDIn  Opt[uint32]
	IfIDOut Opt[uint32]
	PerCPU  Opt[bool]   // one SA a CPU is used
	CPU     Opt[uint32] // the one that this SA is for
	Label   string
	Timers  []Timer // rekey, expire
}

// Mark is a packet mark with its mask.
type Mark struct{ Value, Mask uint32 }
