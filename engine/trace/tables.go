// Package trace folds events into tables: IKE SAs with their CHILD SAs,
// exchanges with their retransmissions and round-trip times, ESP flows, NAT
// verdicts. The same fold serves a capture, a daemon and our own engine.
//
// Contract: Add is a pure function of the events so far; it opens nothing and
// asks no clock. What it keeps is bounded per SA (Options), so memory grows
// with the number of SAs and never with the number of packets. A Trace is not
// safe for concurrent use.
package trace

import (
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Trace is the fold of a stream of events.
type Trace struct {
	// First and Last are the times of the first and last event, zero where
	// there was none.
	First, Last time.Time
	Counts      Counts

	SAs   []*IKESA // in order of their first message
	Flows []*Flow  // in order of their first packet
	// ICMP errors and lost IP fragments about IKE and ESP, bounded.
	ICMP    []ICMPError
	Losses  []FragmentLoss
	Gaps    []Gap
	Tunnels []Tunnel // GRE, IP-in-IP and VXLAN in which packets were found, each once

	// Daemon is what is known beside the SAs where a daemon is the source.
	Daemon Daemon

	fold // the working state: indexes and options
}

// Counts says what went into a Trace.
type Counts struct {
	Packets    int64 // all that follow
	IKEv1      int64
	IKEv2      int64
	ESP        int64
	AH         int64
	Keepalives int64
	Malformed  int64  // IKE messages with a fatal problem
	Dropped    uint64 // said to be lost by the source
	Forgotten  int64  // exchanges and SAs that the limits of Options pushed out
}

// IKESA is one IKE SA with what a trace knows beyond the model.
type IKESA struct {
	engine.IKESA

	First, Last           time.Time // of its messages
	FirstFrame, LastFrame int64
	Messages              int64
	Octets                int64
	// Partial says that the SA's IKE_SA_INIT was not captured: suite and NAT
	// are then not known.
	Partial bool
	// Decrypted says that keys opened at least one message; WrongKey that
	// keys were given for it and failed.
	Decrypted, WrongKey bool

	// Exchanges in order of their first message; bounded: the first
	// Options.KeepFirst and the last Options.KeepLast of them.
	Exchanges []*Exchange
	Skipped   int64 // exchanges left out between them

	Init *Exchange   // the IKE_SA_INIT (or IKEv1 main or aggressive mode) exchange that counted, nil where none
	Auth []*Exchange // IKE_AUTH exchanges, in order

	NATD NATDetection

	// Offers is what a daemon's log said of proposals, the last of each kind.
	Offers event.LogProposals

	VendorIDs []VendorID
	// Predecessor and Successor link the SAs of an IKE rekey, nil where none
	// is known.
	Predecessor, Successor *IKESA
	// Flows of ESP and AH that belong to this SA's children (certain where
	// decrypted, else by address and time).
	Flows []*Flow

	Keepalives    int64
	LastKeepalive time.Time
	// Moves are changes of address or port within the SA, MOBIKE or a new NAT
	// mapping, bounded.
	Moves []Move
	// Ended says how the SA ended, "" while it lives or where unknown.
	Ended   Ending
	EndedAt time.Time
	EndedBy Origin

	work // the fold's own state
}

// MayCarry says whether a readable message of the SA can have held a notify of
// this type; false is certain. Rules ask it before they look through the
// exchanges of every SA for what hardly any has.
func (sa *IKESA) MayCarry(t wire.NotifyType) bool {
	word, bit := notifyBit(t)
	return sa.notified[word]&bit != 0
}

// noteNotifies keeps what MayCarry answers by.
func (sa *IKESA) noteNotifies(m *Message) {
	for i := range m.Payloads {
		if n, ok := m.Payloads[i].Body.(*wire.Notify); ok {
			word, bit := notifyBit(n.Type)
			sa.notified[word] |= bit
		}
	}
}

// notifyBit gives a type its bit. Errors have one each, and so have the
// statuses in use: hardly an SA is without NAT detection, which must not look
// like an error.
func notifyBit(t wire.NotifyType) (word int, bit uint64) {
	n := int(t)
	if n >= 64 {
		n = 64 + n%(64*(notifyWords-1))
	}
	return n / 64, 1 << (n % 64)
}

// Origin says which side of an IKE SA did something.
type Origin uint8

// The sides.
const (
	Nobody    Origin = iota
	Initiator        // the original initiator of the IKE SA
	Responder
)

// String gives initiator, responder or "".
func (o Origin) String() string {
	switch o {
	case Initiator:
		return "initiator"
	case Responder:
		return "responder"
	}
	return ""
}

// Ending says how an IKE SA ended.
type Ending string

// The endings that a trace can tell.
const (
	EndDeleted  Ending = "deleted"   // a DELETE for the IKE SA
	EndRekeyed  Ending = "rekeyed"   // replaced by a rekeyed SA
	EndFailed   Ending = "failed"    // an error notify ended it before it was established
	EndNoAnswer Ending = "no-answer" // requests stayed without response
)

// Purpose says what an exchange was for.
type Purpose string

// The purposes.
const (
	PurposeInit          Purpose = "init"         // IKE_SA_INIT
	PurposeIntermediate  Purpose = "intermediate" // IKE_INTERMEDIATE, IKE_FOLLOWUP_KE
	PurposeAuth          Purpose = "auth"         // IKE_AUTH
	PurposeChild         Purpose = "child"        // CREATE_CHILD_SA for a new child
	PurposeRekeyChild    Purpose = "rekey-child"
	PurposeRekeyIKE      Purpose = "rekey-ike"
	PurposeCreate        Purpose = "create" // CREATE_CHILD_SA, undecided without keys
	PurposeDelete        Purpose = "delete" // INFORMATIONAL with a Delete first
	PurposeDPD           Purpose = "dpd"    // empty INFORMATIONAL
	PurposeNotify        Purpose = "notify" // INFORMATIONAL with a Notify first
	PurposeMobike        Purpose = "mobike"
	PurposeConfig        Purpose = "config"        // INFORMATIONAL with CP
	PurposeInformational Purpose = "informational" // undecided
	PurposeMain          Purpose = "main-mode"     // IKEv1
	PurposeAggressive    Purpose = "aggressive-mode"
	PurposeQuick         Purpose = "quick-mode"
	PurposeOther         Purpose = "other"
)

// Exchange is a request with its response. For IKEv1, where messages are not
// paired by the header, an exchange is a phase 1 or one message id of phase 2
// and holds all its messages.
type Exchange struct {
	SA        *IKESA
	Type      wire.ExchangeType
	MessageID uint32
	By        Origin // who asked
	Purpose   Purpose
	Request   *Message   // nil where not seen
	Response  *Message   // nil where not seen
	More      []*Message // IKEv1: messages after the first two
	// Retransmissions of request and response, byte-identical or (for IKE
	// fragments) of the same set; bounded, counted in full.
	RequestRepeats, ResponseRepeats int
	Repeats                         []Repeat
	// RTT is the time from the last transmission of the request to the first
	// response, at the tap; absent where one of them was not seen.
	RTT engine.Opt[time.Duration]
	// Variant says that the request differs from an earlier one with the same
	// message id (IKE_SA_INIT again with a cookie or another KE).
	Variant bool
}

// Repeat is one retransmission.
type Repeat struct {
	Frame    int64
	Time     time.Time
	Response bool
}

// Message is one IKE message as the trace keeps it. Its slices are its own.
type Message struct {
	Frame    int64
	Frames   []int64 // of an IKE fragment set, or of IP fragments; nil for one frame
	Time     time.Time
	Src, Dst netip.AddrPort
	Encap    event.Encap
	Length   int // octets of the IKE message; of all fragments together for a set
	Header   wire.Header
	// First is the type of the first inner payload of an encrypted message,
	// known without keys; Encrypted says whether there is an SK or SKF payload.
	First        wire.PayloadType
	Encrypted    bool
	Decrypted    bool
	DecryptError string
	// Payloads is the readable chain: of the message, or the inner one where
	// decrypted; nil for an encrypted message without keys.
	Payloads []wire.Payload
	// Octets is the message as on the wire, and Plain the decrypted chain;
	// kept where Options.KeepOctets says so.
	Octets, Plain []byte
	Problems      []wire.Problem
	// Fragmentation: IKE fragments of this message (RFC 7383), 0 where none.
	Fragments int
	// FragmentTotal is how many there are by their own account; fewer in
	// Fragments means that the set stayed incomplete here.
	FragmentTotal int
	IPFragments   int
	// Logged says that the message is known from a daemon's log: payloads by
	// name, no octets, and a time that is when the line came.
	Logged bool

	digest    uint64
	fragments []uint64 // digests of the IKE fragments seen, by number - 1; 0 where not yet
}

// Notify gives the first notify of type t in the readable chain, nil where
// there is none or m is nil.
func (m *Message) Notify(t wire.NotifyType) *wire.Notify {
	if m == nil {
		return nil
	}
	return wire.FindNotify(m.Payloads, t)
}

// ErrorNotify gives the first error notify in the readable chain, nil where
// there is none or m is nil.
func (m *Message) ErrorNotify() *wire.Notify {
	if m == nil {
		return nil
	}
	for i := range m.Payloads {
		if n, ok := m.Payloads[i].Body.(*wire.Notify); ok && n.Type > 0 && n.Type < 16384 {
			return n
		}
	}
	return nil
}

// NATDetection is what the NAT_DETECTION hashes of IKE_SA_INIT say when they
// are recomputed from the addresses seen at the tap (RFC 7296 2.23).
type NATDetection struct {
	Request, Response HashPair
	// Verdict in the words of engine.NAT is in IKESA.NAT. InsideAddr is the
	// address before translation that a mismatching hash of that side was made
	// from, found by search; invalid where not found or not searched.
	InitiatorInside, ResponderInside netip.AddrPort
}

// HashPair is what one message claims.
type HashPair struct {
	Seen             bool // the message carried both notifies
	Source           Match
	Destination      Match
	SourceHashes     [][]byte
	DestHash         []byte
	SrcSeen, DstSeen netip.AddrPort // as observed, what the hashes were compared with
}

// Match is the outcome of comparing one hash.
type Match uint8

// The outcomes.
const (
	MatchUnknown Match = iota
	MatchYes
	MatchNo
)

// VendorID is a vendor id payload, from whichever side.
type VendorID struct {
	By   Origin
	Data []byte
	Name string // whom it claims to be, "" where not known
}

// Move is a change of an SA's addresses.
type Move struct {
	Time     time.Time
	Frame    int64
	By       Origin
	From, To netip.AddrPort
}

// Flow is one ESP or AH SA as seen on the wire: one SPI towards one address.
type Flow struct {
	Proto    event.Proto // ESP or AH
	SPI      wire.ESPSPI
	Src, Dst netip.AddrPort // ports 0 where not in UDP
	Encap    event.Encap
	SA       *IKESA          // nil where not joined
	Child    *engine.ChildSA // nil where not joined
	Certain  bool            // the join is from decrypted SPIs
	Inbound  bool            // towards the SA's initiator

	Packets, Octets       int64
	First, Last           time.Time
	FirstFrame, LastFrame int64
	FirstSeq, HighSeq     uint32
	Missing               int64 // sequence numbers between FirstSeq and HighSeq that never came
	Duplicates            int64
	Reordered             int64
	Late                  int64     // of Reordered, those more than LateBy numbers behind the highest
	LongestGap            int64     // the longest run of missing numbers
	Resets                int64     // times that the sequence started again
	Mod16                 [16]int64 // packets by ESP length mod 16: tells block size and ICV
	MaxLength             int
	LongestSilence        time.Duration
	Sizes                 Sizes

	Decrypted, ICVFailed int64
	DecryptError         string
	InnerSrc, InnerDst   netip.Addr // of the first decrypted inner packet

	window
}

// ICMPError is an ICMP error about a packet of interest.
type ICMPError struct {
	event.ICMPError
	Time  time.Time
	Frame int64
	SA    *IKESA // nil where not joined
	Count int64  // repeats of the same error, folded
}

// FragmentLoss is a set of IP fragments that stayed incomplete.
type FragmentLoss struct {
	event.FragmentLoss
	Time  time.Time
	Frame int64
	SA    *IKESA
}

// Gap is a hole in the stream of events.
type Gap struct {
	event.Gap
	Time  time.Time
	Frame int64
}

// Tunnel is an outer encapsulation in which packets of interest were found.
type Tunnel struct {
	event.Tunnel
	Packets int64
}

// Options bound what a Trace keeps. The zero value means the defaults.
type Options struct {
	MaxSAs     int  // IKE SAs kept, oldest ended ones forgotten first; default 100,000
	MaxFlows   int  // default 200,000
	KeepFirst  int  // exchanges kept from the beginning of an SA; default 32
	KeepLast   int  // exchanges kept from its end; default 96
	KeepOctets bool // keep every kept message's octets (for the hex view)
	// TablesOnly is for who shows SAs and flows and no messages: messages keep
	// neither payloads nor octets, and hashes are not kept.
	TablesOnly bool
}
