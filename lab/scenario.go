package lab

import (
	"context"
	"time"
)

// Tap is where a scenario's capture is taken.
type Tap string

// The places to listen.
const (
	TapInitiator Tap = "initiator" // the initiator's outer interface
	TapResponder Tap = "responder" // the responder's outer interface
	TapMiddle    Tap = "middle"    // between two NAT boxes
)

// NAT says which ends sit behind an address translator.
type NAT int

// The kinds of path between the ends.
const (
	NoNAT        NAT = iota
	NATInitiator     // one box in front of the initiator, masquerading
	NATBoth          // a box in front of each end; the responder's forwards ports 500 and 4500
)

// Scenario is one named experiment.
type Scenario struct {
	Name  string
	Shows string // one sentence: what the capture shows
	// Expect holds the finding ids that a diagnosis has to name, the cause
	// first. It is empty for a healthy tunnel.
	Expect []string
	Notes  []string // what a reader of the capture must know

	IPv6    bool // outer addresses are IPv6
	NAT     NAT
	PublicA bool // the initiator's address is a public one even behind the NAT box
	Tap     Tap  // TapInitiator unless said otherwise
	// Guests runs both ends in guests with a kernel that has ESP.
	Guests bool
	// Quick has the daemons repeat a request in tenths of what operators see by
	// default, with the same growth: after 0.4 s, 0.72 s, 1.3 s. After 4.7 s in all
	// they give the peer up. It is for silence; how often something is sent, and
	// whether a slow peer is still waited for, is then a matter of the machine.
	Quick bool
	// Scripted says why a script answers in place of a daemon, "" where none does.
	Scripted string
	// KeysAnyAddress writes the ESP keys for any address: an end moves.
	KeysAnyAddress bool

	// Wire, on a path without a NAT, gets each Ethernet frame that an end sends
	// and gives those that are to arrive at the other, in order. It is called on
	// one goroutine for each end; the frame is valid during the call and may be
	// changed. nil is a plain cable.
	Wire func(fromA bool, frame []byte) [][]byte
	// Latency is how long a frame that Wire gives stays on the way, nil for no
	// time. It is asked for each frame; frames never overtake one another by it.
	Latency func() time.Duration

	// Ends changes the default ends (PSK, one child between two hosts).
	Ends func(a, b *End) error
	// Prepare runs after the daemons are up, before the capture begins.
	Prepare func(ctx context.Context, b *Bench) error
	// Act runs while the capture runs; BringUpAndPing unless said otherwise.
	Act func(ctx context.Context, b *Bench) error
}

// Find gives the scenario of that name.
func Find(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// Scenarios is the table of all scenarios that run with two strongSwan daemons
// or a scripted peer, in the order in which the corpus lists them.
func Scenarios() []Scenario {
	var all []Scenario
	for _, family := range [][]Scenario{
		suiteScenarios(), authScenarios(), pathScenarios(), lifeScenarios(),
		refusalScenarios(), silenceScenarios(), dataScenarios(), ikev1Scenarios(), kernelScenarios(),
	} {
		all = append(all, family...)
	}
	return all
}
