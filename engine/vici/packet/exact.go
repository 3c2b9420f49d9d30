package packet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Our own additions to VICI. A client that puts Exact into a request gets,
// beside VICI's words, the model that they were made from under the same name:
// JSON, in a list of pieces. Others get nothing that strongSwan does not send.
const (
	Exact = "cvlan-json"
	// KindKey says in a refusal which kind it is of: unsupported, unreachable
	// or refused.
	KindKey = "cvlan-kind"
	// EventName is an event that carries any event of ours, as event.Encode
	// writes it, in Exact.
	EventName = "cvlan-event"
	// CommandDPD checks the liveness of the peer of a "connection"; Exact holds
	// the backend.Probe.
	CommandDPD = "cvlan-dpd"
	// CommandPast raises an EventPast for each connection and child of which
	// something is remembered: "connection", "child", and in Exact the
	// backend.Past. Its answer holds in Exact since when the daemon watches.
	CommandPast = "cvlan-past"
	EventPast   = "cvlan-past-item"
	// CommandRecall raises an EventRecall for each event that the daemon
	// remembers, the oldest first, each as in EventName: none of before SinceKey,
	// where that is given, in the form of RFC 3339 with fractions.
	CommandRecall = "cvlan-recall"
	SinceKey      = "since"
	EventRecall   = "cvlan-recall-item"
)

// piece is how many octets of JSON go into one item of a list.
const piece = 60_000

// AppendExact appends the entry that carries a value as JSON.
func AppendExact(entries []Element, v any) ([]Element, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return entries, fmt.Errorf("exact form: %w", err)
	}
	return append(entries, Pieces(b)), nil
}

// Pieces makes the entry that carries JSON.
func Pieces(b []byte) Element {
	e := Element{Name: Exact, List: []string{}}
	for text := string(b); text != ""; {
		n := min(len(text), piece)
		e.List = append(e.List, text[:n])
		text = text[n:]
	}
	return e
}

// ErrNotExact says that an answer holds no exact form.
var ErrNotExact = errors.New("no exact form in the answer")

// Join puts the pieces of JSON together.
func Join(pieces []string) ([]byte, error) {
	if len(pieces) == 0 {
		return nil, ErrNotExact
	}
	return []byte(strings.Join(pieces, "")), nil
}
