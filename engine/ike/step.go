package ike

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Datagram is a UDP payload between two ends, exact to the octet: on the NATT
// ports the non-ESP marker is part of it (RFC 3948 2.2). Marked says that it
// travels between those ports.
type Datagram struct {
	Local, Remote netip.AddrPort
	Marked        bool
	Octets        []byte
}

// Input is what an SA or an Endpoint is stepped with: one datagram, one
// command, or neither, which is a tick.
type Input struct {
	Datagram *Datagram
	Command  Command
}

// Command is something that this side wants of an SA: AddChild, RekeyChild,
// DeleteChild, Expired, RekeyIKE, DeleteIKE, Probe, Heard.
type Command interface{ isCommand() }

// The commands to an SA.
type (
	// AddChild sets up a configured child, unless it already stands.
	AddChild struct{ Name string }
	// RekeyChild replaces a CHILD SA, by its inbound SPI.
	RekeyChild struct{ SPI wire.ESPSPI }
	// DeleteChild closes a CHILD SA, by its inbound SPI.
	DeleteChild struct{ SPI wire.ESPSPI }
	// Expired tells that a CHILD SA has used up its octets or packets. A soft
	// expiry rekeys it, a hard one closes it.
	Expired struct {
		SPI  wire.ESPSPI
		Hard bool
	}
	// RekeyIKE replaces the IKE SA.
	RekeyIKE struct{}
	// DeleteIKE closes the IKE SA with all its children.
	DeleteIKE struct{}
	// Probe asks the peer for a sign of life.
	Probe struct{}
	// Heard tells of authentic ESP traffic from the peer: it counts as life
	// (RFC 7296 2.4). From may be not set; where it is another address than
	// the peer's, a changed NAT mapping is followed (RFC 7296 2.23).
	Heard struct{ From netip.AddrPort }
)

func (AddChild) isCommand()    {}
func (RekeyChild) isCommand()  {}
func (DeleteChild) isCommand() {}
func (Expired) isCommand()     {}
func (RekeyIKE) isCommand()    {}
func (DeleteIKE) isCommand()   {}
func (Probe) isCommand()       {}
func (Heard) isCommand()       {}

// UpdateKind says what a data plane has to do.
type UpdateKind uint8

// The kinds of Update.
const (
	Install UpdateKind = iota + 1 // take the child's SAs in; send with it if Outbound says so
	Switch                        // send with this child from now on
	Move                          // the peer's address changed
	Remove                        // forget the child and its keys
)

// String gives "install".
func (k UpdateKind) String() string {
	return [...]string{"", "install", "switch", "move", "remove"}[k]
}

// Update is an order to the data plane about one CHILD SA.
type Update struct {
	Kind UpdateKind
	Name string
	SPIs SPIPair
	// What follows is set for Install; Local, Remote and Encap also for Move.
	Connection    string  // its name
	Replaces      SPIPair // the CHILD SA that this one replaces, if any
	Outbound      bool    // use it for sending at once
	Transforms    ESPTransforms
	In, Out       ESPKeys
	LocalTS       []wire.TrafficSelector
	RemoteTS      []wire.TrafficSelector
	Transport     bool
	Local, Remote netip.AddrPort
	Encap         bool // ESP in UDP
	Limits        Limits
}

// Limits are how much one CHILD SA may carry in each direction before it is
// replaced (soft), and before it is closed (hard); 0 is no limit.
type Limits struct {
	SoftOctets, HardOctets   uint64
	SoftPackets, HardPackets uint64
}

// SPIPair names a CHILD SA from one side's view.
type SPIPair struct {
	In, Out wire.ESPSPI
}

// ESPTransforms are the transforms of a CHILD SA.
type ESPTransforms struct {
	EncrID   uint16
	EncrBits int
	IntegID  uint16
	ESN      bool
}

// ESPKeys are the keys of one direction.
type ESPKeys struct {
	Encr, Integ suite.Secret
}

// Again asks the owner of the SA for more: a child that has to be set up anew.
type Again struct {
	Connection *Connection
	Child      string
	Action     Action
	Closed     bool // by the peer, which is there
}

// Output is the result of a step.
type Output struct {
	Datagrams  []Datagram
	Events     []event.Event
	Updates    []Update
	Successors []*SA // new SAs that came out of a rekeying
	Related    []*SA // SAs that a tick is due for, because this one told them to do something
	Again      []Again
	// Deadline is when the next tick is due, zero for never.
	Deadline time.Time
	// Err is what went wrong, nil where nothing did.
	Err *Failure
	// Done says that the SA is over and holds nothing any more.
	Done bool
}

// Failure says what is wrong with an input, or why an SA ended.
type Failure struct {
	Payload  wire.PayloadType // 0 for the message as a whole
	Notify   wire.NotifyType  // the error sent or received, 0 for none
	RFC      string
	Text     string
	Child    string // that failed, "" where the SA as a whole did
	Survived bool   // the SA stands
	Peer     bool   // the peer said so
}

// Error says what is wrong, and what error the one side told the other.
func (f *Failure) Error() string {
	text := f.Text
	if f.Payload != 0 && f.Payload != wire.PayloadNotify {
		text = f.Payload.String() + " payload: " + text
	}
	switch {
	case f.Notify != 0 && f.Peer:
		text = fmt.Sprintf("%s: %s", text, f.Notify)
	case f.Notify != 0:
		text = fmt.Sprintf("%s; the peer is told %s", text, f.Notify)
	}
	if f.RFC != "" {
		text = fmt.Sprintf("%s (%s)", text, f.RFC)
	}
	return text
}

// Timer is a name of the timer table.
type Timer uint8

// The timers of an SA.
const (
	TimerRetransmit Timer = iota // of the oldest request
	TimerRetry                   // of a task that waits, after TEMPORARY_FAILURE
	TimerRekey                   // of the IKE SA
	TimerExpire                  // of the IKE SA, hard
	TimerDPD
	TimerKeepalive
	TimerHalfOpen
	TimerDelete    // the peer has not closed what it replaced; or the SA lingers
	TimerFragments // an incomplete set of IKE fragments
	TimerChild     // the next rekeying or end of a child
	numTimers
)

var timerNames = [numTimers]string{"retransmit", "retry", "rekey", "expire", "dpd", "nat-keepalive", "half-open",
	"delete", "fragments", "child"}

// String gives the timer's name in the timer table.
func (t Timer) String() string { return timerNames[t] }

// timers is the table of deadlines, zero for one that does not run.
type timers [numTimers]time.Time

// next gives the earliest deadline, zero where none runs.
func (t *timers) next() time.Time {
	var first time.Time
	for _, due := range t {
		first = earlier(first, due)
	}
	return first
}

// due says whether a timer runs and its time has come.
func (t *timers) due(n Timer, now time.Time) bool { return !t[n].IsZero() && !t[n].After(now) }

// earlier gives the earlier of two times, where zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// table gives the timers that run, as faces show them.
func (t *timers) table() []engine.Timer {
	var list []engine.Timer
	for n, due := range t {
		if !due.IsZero() {
			list = append(list, engine.Timer{Name: Timer(n).String(), Due: due})
		}
	}
	return list
}
