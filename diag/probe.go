package diag

import (
	"net/netip"
	"time"
)

// Reach is how a peer takes requests on one of its ports.
type Reach string

// The ways to take requests.
const (
	ReachUnknown Reach = ""
	ReachAnswers Reach = "answers"
	ReachRefused Reach = "refused" // by ICMP: nobody listens
	ReachSilent  Reach = "silent"
)

// Probe is what an active test of one peer has found: questions that nothing
// else asks.
type Probe struct {
	Connection    string // "" where there is none
	Host          string // as configured
	Local, Remote netip.Addr
	ResolveError  string // why the host has no address, "" where it has
	Plain, NATT   Reach  // ports 500 and 4500, or what stands for them
	PlainPort     uint16
	NATTPort      uint16
	// Stranger is whether the peer answers what every IKEv2 daemon answers
	// whoever asks: a request of major version 3.
	Stranger Reach
	Refusal  string // the error notify that answered the proposals, "" where none did
	Offered  []string
	Accepts  []string // suites that the peer took when it was asked for others
	Sizes    []ProbeSize
	Inner    []ProbeSize // pings through the tunnel, with octets of the inner packet
	// Quiet is how packets of the peer's side came through the tunnel after this
	// side had been silent for a while, the shorter silence first.
	Quiet []ProbeQuiet
	// IKEFragments is whether the peer says that it takes them (RFC 7383); nil
	// where it did not say.
	IKEFragments *bool
	// Tries are other ways to authenticate that were tried after the peer had
	// refused the configured one without a reason.
	Tries []Try
}

// Try is one other way to authenticate.
type Try struct {
	Time time.Time
	// Kind is what differed: idr, id, id-type, psk, method, eap, signature,
	// certificates, initial-contact, as engine/native has them. Near is the kind of
	// near miss of the preshared key, and the method or signature scheme in
	// swanctl's words.
	Kind, Near string
	Says       string // in words: "our key with a line feed (LF) after it"
	Accepted   bool   // the peer authenticated us
	Answer     string // of the peer: "AUTHENTICATION_FAILED"; "" where it gave none
	PeerID     string // whom the peer said to be, where it did
}

// ProbeQuiet is what became of packets to us after a silence of ours.
type ProbeQuiet struct {
	Silence        time.Duration
	Sent, Answered int
}

// ProbeSize is what became of requests of one size.
type ProbeSize struct {
	Octets         int // of the IP packet
	Sent, Answered int
}
