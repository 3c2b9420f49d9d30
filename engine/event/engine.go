package event

import (
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// CheckKind says what kind of thing our own engine compared.
type CheckKind string

// The kinds of Check.
const (
	CheckProposal    CheckKind = "proposal"    // a proposal of the peer's as a whole
	CheckTransform   CheckKind = "transform"   // one type of transform of a proposal
	CheckKE          CheckKind = "ke"          // the group, or the value, of a KE payload
	CheckSelector    CheckKind = "selector"    // traffic selectors
	CheckMode        CheckKind = "mode"        // tunnel or transport
	CheckIdentity    CheckKind = "identity"    // an identity against the one wanted
	CheckConnection  CheckKind = "connection"  // whether a connection fits a peer
	CheckMethod      CheckKind = "method"      // an authentication method against those allowed
	CheckMAC         CheckKind = "mac"         // a message authentication code made with a shared secret
	CheckSignature   CheckKind = "signature"   // a digital signature
	CheckCertificate CheckKind = "certificate" // a certificate: chain, dates, key usage
	CheckIntegrity   CheckKind = "integrity"   // the integrity of a protected message
	CheckNAT         CheckKind = "nat"         // a NAT detection hash
	CheckCookie      CheckKind = "cookie"      // a cookie come back
	CheckGrammar     CheckKind = "grammar"     // the form of a message
	CheckMessageID   CheckKind = "message-id"  // a message id against the window
	CheckLimit       CheckKind = "limit"       // something counted against a bound
	CheckUnique      CheckKind = "unique"      // another IKE SA with the same peer
	CheckMessage     CheckKind = "message"     // whether a datagram is a message that an IKE SA here waits for: framing, version, SPIs, flags, protection
	CheckRefusal     CheckKind = "refusal"     // an error of the peer's against what was asked for
	CheckBusy        CheckKind = "busy"        // a request of the peer's against what is in progress here: it is answered with TEMPORARY_FAILURE
	CheckPath        CheckKind = "path"        // the addresses of a message against those of the IKE SA
	CheckChild       CheckKind = "child"       // a CHILD SA that the peer names against those that stand
)

// Check is one comparison that our own engine made, with the values of both
// sides, so that nobody has to guess what it saw. Secrets and keys never stand
// in it.
type Check struct {
	SPIi, SPIr wire.SPI
	IKE        string // connection of the IKE SA, "" where it is not known
	IKEID      uint32 // its unique id, 0 where it has none
	Kind       CheckKind
	What       string // what was compared: "ENCR of proposal 1", "IDi"
	Local      string // what this side has or wants
	Remote     string // what the peer has sent
	OK         bool
	Why        string // the reason in words, "" where both values say it
	// Near is the kind of near miss of ours that the peer's secret is, as
	// auth.NearMissIDs has them; "" where none is known.
	Near string
	Peer netip.Addr // where the peer's value came from, not valid where not known
	RFC  string     // "RFC 7296 2.7"
}

// Step is another fact that our own engine tells: a retransmission, a retry, a
// decision of its recovery table.
type Step struct {
	SPIi, SPIr wire.SPI
	IKE        string     // connection of the IKE SA, "" where it is not known
	IKEID      uint32     // its unique id, 0 where it has none
	Peer       netip.Addr // of the IKE SA
	Kind       string     // fixed word: "retransmit", "give-up", "retry", "port-float", "collision", ...
	Child      string     // the child that it concerns, "" for none
	Text       string     // in words
}
