package event

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Table is every IKE SA that a daemon has, with its CHILD SAs, at one moment.
// A daemon leaves an SA out that is busy at the moment: only one that is missing
// twice is gone.
type Table struct {
	SAs []*engine.IKESA
	// First says that it is the first since the daemon was reached: what
	// happened before is not known.
	First bool
}

// ChangeKind says what happened to an SA.
type ChangeKind string

// The kinds of change, by the names of the VICI events where those have one.
const (
	IKEUp      ChangeKind = "ike-up"
	IKEDown    ChangeKind = "ike-down"
	IKERekey   ChangeKind = "ike-rekey"
	IKEUpdate  ChangeKind = "ike-update" // an address or port changed: MOBIKE, or a new NAT mapping
	ChildUp    ChangeKind = "child-up"
	ChildDown  ChangeKind = "child-down"
	ChildRekey ChangeKind = "child-rekey"
)

// Change is one change that a daemon tells. A rekeying is no up and no down.
type Change struct {
	Kind ChangeKind
	// SA is the IKE SA as it is now; of its children only the ones concerned
	// are listed, and for an IKE SA's own up and down none.
	SA *engine.IKESA
	// Old is what was replaced: for IKERekey the old IKE SA, for IKEUpdate
	// the same with its former addresses, for ChildRekey the IKE SA with the
	// old child. Else nil.
	Old *engine.IKESA
}

// Alert is a daemon's complaint (strongSwan 6.0.3 and later).
type Alert struct {
	Type string        // "proposal-mismatch-ike", as the daemon says it
	SA   *engine.IKESA // nil where it belongs to none
}

// Log is one line of a daemon's log. At most one of the pointers is set: what
// the line was recognised as.
type Log struct {
	Group    string // IKE, CFG, NET, ENC, CHD, ...
	Level    int    // -1 to 4; -2 where the source does not say
	Thread   int
	IKE      string   // connection of the IKE SA that it is about, "" for none
	IKEID    uint32   // its unique id, 0 for none
	SPIi     wire.SPI // of the IKE SA, 0 where the source does not tell
	SPIr     wire.SPI
	Text     string
	Progress bool // it belongs to a command that this program gave

	Message     *LogMessage
	Datagram    *LogDatagram
	Retransmit  *LogRetransmit
	Proposals   *LogProposals
	Failure     *LogFailure
	Established *LogEstablished
	Step        *LogStep
}

// LogMessage is an IKE message that a daemon has built or read.
type LogMessage struct {
	Sent      bool
	Exchange  wire.ExchangeType
	Name      string // of the exchange, as the daemon has it
	Response  bool
	MessageID uint32
	// Payloads in the daemon's short form: "SA", "No", "N(NATD_S_IP)".
	Payloads []string
	// Fragments is into how many the message was split, or that one of them
	// came, 0 where it is whole.
	Fragment, Fragments int
}

// LogDatagram is a datagram that a daemon has sent or received.
type LogDatagram struct {
	Sent     bool
	Src, Dst netip.AddrPort
	Octets   int
}

// RetransmitKind says what is repeated.
type RetransmitKind string

// The kinds of LogRetransmit.
const (
	RetransmitRequest  RetransmitKind = "request"  // our request, again
	RetransmitResponse RetransmitKind = "response" // the peer's request came again, and our response went again
	RetransmitGiveUp   RetransmitKind = "give-up"  // the last retransmission stayed unanswered
)

// LogRetransmit is a retransmission, or the end of retransmitting.
type LogRetransmit struct {
	Kind      RetransmitKind
	Attempt   int // of a request: 1 is the first repetition; for a give-up, how many there were
	MessageID uint32
	Known     bool // MessageID is known
}

// LogProposals is what a daemon says about proposals. Each is in strongSwan's
// long form: "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/ECP_256".
type LogProposals struct {
	Received   []string
	Configured []string
	Selected   string
}

// LogFailure is a failure with its reason as far as the line tells it.
type LogFailure struct {
	// Kind is a fixed word for what failed, see the table in engine/vici:
	// "notify", "no-peer-config", "psk-mismatch", ...
	Kind string
	// Notify is the error notify sent or received, as the daemon names it, ""
	// where there was none.
	Notify string
	// Local says that this side refused; else the peer did, or nobody.
	Local bool
	// Child says that a CHILD SA failed and not the IKE SA.
	Child string
	// Detail holds what the line names: identities, addresses, dates.
	Detail map[string]string
}

// LogEstablished is an SA that has come up.
type LogEstablished struct {
	Name     string // of the connection or child
	UniqueID uint32
	Child    bool
	Local    string // address and identity of an IKE SA's ends: "192.0.2.1[a.example]"
	Remote   string
	SPIIn    wire.ESPSPI // of a CHILD SA
	SPIOut   wire.ESPSPI
	LocalTS  string
	RemoteTS string
}

// LogStep is another fact that a line tells.
type LogStep struct {
	// Kind is a fixed word: "initiating", "authenticated-peer",
	// "nat-local", "dpd-request", "deleting", ...
	Kind   string
	Detail map[string]string
}

// appendDaemon appends the summary of what a daemon tells:
//
//	ike-up gw[3] 192.0.2.1[a.example]...192.0.2.2[b.example]
//
// Names and log lines are the daemon's, in which strangers are quoted: clean
// them before they go to a terminal.
func appendDaemon(b []byte, e *Event) []byte {
	switch {
	case e.Log != nil:
		return append(b, e.Log.Text...)
	case e.Table != nil:
		return fmt.Appendf(b, "table of %d IKE SAs", len(e.Table.SAs))
	case e.Alert != nil:
		b = append(append(b, "alert "...), e.Alert.Type...)
		if e.Alert.SA != nil {
			b = appendIKESA(append(b, ' '), e.Alert.SA)
		}
		return b
	}
	b = appendIKESA(append(append(b, e.Change.Kind...), ' '), e.Change.SA)
	for _, c := range e.Change.SA.Children {
		b = fmt.Appendf(b, " %s{%d}", c.Name, c.UniqueID)
	}
	return b
}

func appendIKESA(b []byte, sa *engine.IKESA) []byte {
	return fmt.Appendf(b, "%s[%d] %s[%s]...%s[%s]", sa.Name, sa.UniqueID, sa.Local.Host, sa.Local.ID, sa.Remote.Host, sa.Remote.ID)
}
