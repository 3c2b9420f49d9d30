// Package diag turns tables into findings: what is wrong, how sure that is,
// how we know, whose fault it is and what to change on which side.
//
// Contract: pure. Diagnose reads Facts and returns findings, ranked, the root
// cause first; a finding that merely follows from another is listed among
// that one's consequences and not beside it. It opens nothing and asks no
// clock.
package diag

import (
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// Severity of a finding, worst first.
type Severity uint8

// The severities.
const (
	Critical Severity = iota + 1
	High
	Medium
	Low
	Info
)

// Confidence in a finding.
type Confidence uint8

// The degrees of confidence.
const (
	Certain Confidence = iota + 1
	Likely
	Hint
)

// Ownership says whose the fault is. An External fault never comes with
// advice to change a configuration.
type Ownership string

// The owners.
const (
	External    Ownership = "external"
	LocalConfig Ownership = "local-config"
	PeerConfig  Ownership = "peer-config"
	Credential  Ownership = "credential"
	Host        Ownership = "host"
	Software    Ownership = "software"
)

// Words says whose a fault is: of a capture, whose sides are the initiator and the
// responder, or live of a daemon, where one side is this one.
func (o Ownership) Words(live bool) string {
	switch {
	case live && o == LocalConfig:
		return "the configuration of this side"
	case live && o == PeerConfig:
		return "the configuration of the peer"
	}
	switch o {
	case External:
		return "neither side's configuration: the network between them"
	case LocalConfig:
		return "the initiator's configuration"
	case PeerConfig:
		return "the configuration of the peers"
	case Credential:
		return "credentials"
	case Host:
		return "the host"
	case Software:
		return "software"
	}
	return string(o)
}

// Facts is all that rules may read. A nil table is one that the source cannot
// give.
type Facts struct {
	Source string       // as in the JSON: "pcap:x.pcap", "vici:..."
	Trace  *trace.Trace // never nil
	Now    time.Time    // the end of a capture, or the present of a live source
	Live   bool         // the source goes on: silence up to Now is meaningful to the second

	// What a daemon has beside its SAs; nil where the source cannot tell it.
	Connections  []*engine.Connection
	Policies     []engine.Policy
	Certificates []engine.Certificate
	Stats        *engine.Stats
	Host         *HostFacts // the host that the daemon runs on
	Probe        *Probe     // of an active test

	// Vendors are the platforms of hosts, as the operator told them: by address,
	// "" for every host that is not the source's own. See Platforms.
	Vendors map[string]string
}

// Finding is one diagnosis.
type Finding struct {
	ID         string // of the Catalogue
	Severity   Severity
	Confidence Confidence
	Ownership  Ownership
	Subject    Subject
	Summary    string // one line: what is wrong, with this case's values
	Cause      string // why, in a sentence or two
	Remedies   []Remedy
	// Claims are what the peers say of themselves or seem to be by what they do,
	// where Remedies were chosen by it: "192.0.2.2 claims to be ...".
	Claims    []string
	Evidence  []Evidence
	FirstSeen time.Time
	LastSeen  time.Time
	Count     int // times that it was seen, at least 1
	// Variant sets a finding apart from others with the same ID between the
	// same two peers: those with the same Variant are one finding, counted.
	Variant string
	// Root says that it follows from nothing else, whatever was found: what
	// showed it was looked at before anything that could have caused it.
	Root bool
	// Consequences are the ids of findings on the same subject that follow
	// from this one and are therefore not listed.
	Consequences []string
	Surer        string // what would make it surer, "" where it is certain
}

// NoSPI is what stands for the SPI of an IKE SA that ended before its source told
// the SPI: it is known by its name alone.
const NoSPI = "0000000000000000"

// Subject says what a finding is about.
type Subject struct {
	Local, Remote string // addresses, "" where not known
	SPIi, SPIr    string // 16 digits, "" where not known; SPIi is NoSPI on an SA whose source tells none
	ChildSPI      string // 8 digits of an ESP SA, "" where it is about none
	Connection    string
}

// Remedy is one change on one side.
type Remedy struct {
	Side     string // initiator, responder, local, remote, both, network
	Platform string // strongswan, libreswan, cisco, ... ; any for words
	Change   string // the line to change, in that platform's syntax
	// Other says that the side is not known to be this platform: the line is
	// there beside swanctl's, for whoever has it.
	Other bool
}

// Evidence is one observation.
type Evidence struct {
	Frame int64 // 0 where it is not a frame
	Time  time.Time
	What  string
	// Message is the IKE message that it is in, where it is in one: times alone
	// do not tell messages of the same moment apart.
	Message MessageRef
}

// MessageRef names an IKE message within its IKE SA and moment.
type MessageRef struct {
	Known    bool
	ID       uint32
	Response bool
}

// Rule recognises one fault or family of faults.
type Rule struct {
	ID    string   // the id that it reports
	Needs []string // what it reads, in words, for docs and explain
	// After are the ids whose presence on the same subject makes this one a
	// consequence.
	After []string
	// Find reads the facts and changes nothing in them. Of what it returns,
	// Diagnose fills in what is the same for every finding of an ID: cause,
	// remedies, and where they are zero severity, ownership and count.
	Find func(*Facts) []Finding
}

// Entry is one fault of the Catalogue: what is true of it wherever it occurs.
type Entry struct {
	ID          string
	Aliases     []string
	Title       string // a short noun phrase
	Severity    Severity
	Ownership   Ownership
	Symptom     string // what an operator sees
	Cause       string
	Shows       []Shows // how each source shows it
	Remedies    []Remedy
	Distinguish string // how to tell it from its neighbours
	RFC         []string
	Related     []string
}

// Shows says what shows a fault on one source.
type Shows struct {
	Source string // capture, capture with keys, engine, strongswan, host
	What   string
}
