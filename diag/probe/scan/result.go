package scan

import (
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Verdict is how a host takes a protocol or port.
type Verdict string

// The verdicts.
const (
	Answers Verdict = "answers"
	Refused Verdict = "refused" // by ICMP: nobody listens
	Silent  Verdict = "silent"  // dropped on the way, or ignored
	Unasked Verdict = ""
)

// The outcomes of a question that are no notify.
const (
	OutcomeAccepted = "accepted"
	OutcomeSilence  = "silence"
	OutcomeRefused  = "port unreachable"
)

// Question is one thing that was asked and what came of it: all that an answer
// told, so that a later scan need not ask again.
type Question struct {
	Name    string
	Offer   string // the proposal offered, in swanctl's spelling; "" where none was
	Marked  bool   // on the NATT port
	Outcome string // accepted, silence, port unreachable, or the name of the notify that answered
	Suite   string // what was accepted, in swanctl's spelling
	Group   string // what INVALID_KE_PAYLOAD named
	// What an accepting answer says of the host.
	Notifies []string
	Vendors  [][]byte
	Cookie   bool // a cookie was demanded first
	// NATLocal and NATRemote say whether the hashes show a NAT in front of us,
	// of the host; nil where the answer had none.
	NATLocal, NATRemote *bool
	Hashes              []string // SIGNATURE_HASH_ALGORITHMS
	// Closed says whether the IKE_AUTH that closes what was agreed was answered;
	// nil where none was sent.
	Closed   *bool
	RTT      time.Duration
	Requests int // it took, repetitions after a cookie or another group included
}

func (q *Question) key() string {
	if q.Marked {
		return q.Name + "|natt|" + q.Offer
	}
	return q.Name + "|" + q.Offer
}

// Accepted is one algorithm that the host accepts.
type Accepted struct {
	Type wire.TransformType
	ID   uint16
	Bits int // key length, 0 where there is none
	// Chosen says that the host answered with a proposal that holds it; else it
	// goes with a group that we cannot compute, which INVALID_KE_PAYLOAD named.
	Chosen bool
	// Alone is the outcome of a proposal that left no choice but this one: "" as
	// long as none was asked. INVALID_KE_PAYLOAD is all that the host can say to
	// what was not Chosen.
	Alone string
	// Deaf says that the host agreed to it, and then answered no IKE_AUTH of any
	// suite that has it, although it did with others: it may not have it.
	Deaf bool
}

// Confirmed says that the host also takes it where it has no choice.
func (a *Accepted) Confirmed() bool { return a.Alone == OutcomeAccepted }

// Contradicted says that the host took it among others, and not alone.
func (a *Accepted) Contradicted() bool {
	return a.Alone != "" && !a.Confirmed() && (a.Chosen || a.Alone != wire.NotifyInvalidKEPayload.String())
}

// same says whether two are of the same algorithm and key length.
func (a Accepted) same(b Accepted) bool { return a.Type == b.Type && a.ID == b.ID && a.Bits == b.Bits }

// Keyword gives the algorithm in swanctl's spelling.
func (a *Accepted) Keyword() string {
	t := a.transform()
	return t.Keyword()
}

// Name gives the algorithm's name, AES_CBC.
func (a *Accepted) Name() string { return wire.TransformName(a.Type, a.ID) }

func (a *Accepted) transform() wire.Transform {
	t := wire.Transform{Type: a.Type, ID: a.ID}
	if a.Bits > 0 {
		t.Attributes = []wire.Attribute{{Type: wire.AttrKeyLength, Short: true, Value: uint16(a.Bits)}}
	}
	return t
}

// Result is what a scan has found.
type Result struct {
	Host           netip.Addr
	Port, NATTPort uint16
	IKEv2          Verdict
	Port4500       Verdict
	OnlyNATT       bool // the plain port is silent, the NATT port answers
	IKEv1          Verdict
	Aggressive     Verdict // IKEv1's aggressive mode, asked where main mode answers
	MajorVersion3  string  // outcome of a request of version 3
	Critical       string  // outcome of an unknown critical payload
	Cookie         bool
	NATLocal       *bool
	NATRemote      *bool
	Notifies       []string // of IKE_SA_INIT responses, in the order of the first
	Vendors        [][]byte
	Hashes         []string
	Accepted       []Accepted
	Suites         []string // chosen by the host, in swanctl's spelling, in the order of the questions
	Questions      []Question
	Requests       int // sent by this scan
	MaxRequests    int // that it was allowed
	RTT            time.Duration
	Complete       bool
	Incomplete     string // why not complete
}

// Has says whether the host's IKE_SA_INIT responses hold a notify.
func (r *Result) Has(n wire.NotifyType) bool { return slices.Contains(r.Notifies, n.String()) }

// verdict reads a question's outcome as a verdict.
func verdict(q Question) Verdict {
	switch q.Outcome {
	case OutcomeSilence:
		return Silent
	case OutcomeRefused:
		return Refused
	case "":
		return Unasked
	}
	return Answers
}

// learn takes over what an answer says of the host.
func (r *Result) learn(q *Question) {
	r.Cookie = r.Cookie || q.Cookie
	for _, n := range q.Notifies {
		if !slices.Contains(r.Notifies, n) {
			r.Notifies = append(r.Notifies, n)
		}
	}
	for _, v := range q.Vendors {
		if !slices.ContainsFunc(r.Vendors, func(have []byte) bool { return slices.Equal(have, v) }) {
			r.Vendors = append(r.Vendors, v)
		}
	}
	if r.NATLocal == nil {
		r.NATLocal, r.NATRemote = q.NATLocal, q.NATRemote
	}
	if len(r.Hashes) == 0 {
		r.Hashes = q.Hashes
	}
	if q.Suite != "" && !slices.Contains(r.Suites, q.Suite) {
		r.Suites = append(r.Suites, q.Suite)
	}
}

// accept adds an algorithm.
func (r *Result) accept(a Accepted) {
	for i := range r.Accepted {
		if have := &r.Accepted[i]; have.same(a) {
			have.Chosen = have.Chosen || a.Chosen
			if a.Alone != "" && !have.Confirmed() {
				have.Alone = a.Alone
			}
			return
		}
	}
	r.Accepted = append(r.Accepted, a)
}

// named says whether an algorithm is known to go with a group that we cannot
// compute.
func (r *Result) named(a Accepted) bool {
	return slices.ContainsFunc(r.Accepted, func(x Accepted) bool { return x.same(a) && x.Alone != "" })
}

// confirmed says whether an algorithm is known to be taken alone.
func (r *Result) confirmed(a Accepted) bool {
	return slices.ContainsFunc(r.Accepted, func(x Accepted) bool { return x.same(a) && x.Confirmed() })
}
