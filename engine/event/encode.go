package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// The exact form of events is JSON with the names of their fields, for programs
// of ours; what is shown to others is documented JSON of its own. Of a packet
// it holds the octets, and the decrypted ones, which Decode reads anew.

type plainEvent Event

type eventForm struct {
	*plainEvent
	Packet *packetForm `json:",omitempty"`
}

type plainPacket Packet

type packetForm struct {
	plainPacket
	IKE *ikeForm `json:",omitempty"`
}

// ikeForm is what of an IKE message does not follow from its octets.
type ikeForm struct {
	Decrypted    bool      `json:",omitempty"`
	DecryptError string    `json:",omitempty"`
	Opened       bool      `json:",omitempty"` // Plain is the inner payloads, which may be none
	Plain        []byte    `json:",omitempty"`
	Fragment     *Fragment `json:",omitempty"`
}

// Encode gives an event in the form that Decode reads: nothing is lost.
func Encode(e *Event) ([]byte, error) {
	form := eventForm{plainEvent: (*plainEvent)(e)}
	if p := e.Packet; p != nil {
		form.Packet = &packetForm{plainPacket: plainPacket(*p)}
		if k := p.IKE; k != nil {
			form.Packet.IKE = &ikeForm{Decrypted: k.Decrypted, DecryptError: k.DecryptError, Opened: k.Inner != nil, Plain: k.Plain, Fragment: k.Fragment}
		}
	}
	b, err := json.Marshal(form)
	if err != nil {
		return nil, fmt.Errorf("exact form of an event: %w", err)
	}
	return b, nil
}

// Decode reads what Encode wrote.
func Decode(b []byte) (*Event, error) {
	e := &Event{}
	form := eventForm{plainEvent: (*plainEvent)(e)}
	if err := json.Unmarshal(b, &form); err != nil {
		return nil, fmt.Errorf("exact form of an event: %w", err)
	}
	if form.plainEvent == nil {
		return nil, errors.New("exact form of an event: it is empty")
	}
	e = (*Event)(form.plainEvent)
	if form.Packet == nil {
		return e, e.whole()
	}
	p := (*Packet)(&form.Packet.plainPacket)
	e.Packet = p
	if k := form.Packet.IKE; k != nil {
		p.IKE = k.ike(p.Octets)
	}
	return e, e.whole()
}

// ike reads a message's octets anew.
func (k *ikeForm) ike(octets []byte) *IKE {
	out := &IKE{Decrypted: k.Decrypted, DecryptError: k.DecryptError, Plain: k.Plain, Fragment: k.Fragment}
	out.Message, out.Err = wire.Parse(octets)
	if k.Opened && out.Message != nil {
		first, _ := out.Message.Sealed()
		out.Inner, out.InnerProblems = wire.ParsePayloads(first, out.Message.Version, k.Plain)
		if out.Inner == nil {
			out.Inner = []wire.Payload{}
		}
	}
	return out
}

// Whole says whether an SA that was read from JSON is there, with all its
// children.
func Whole(sa *engine.IKESA) bool {
	return sa != nil && !slices.Contains(sa.Children, nil)
}

// whole refuses an event that says nothing, or of which a part is missing that
// every such event has.
func (e *Event) whole() error {
	switch {
	case e.Change != nil && (!Whole(e.Change.SA) || e.Change.Old != nil && !Whole(e.Change.Old)),
		e.Alert != nil && e.Alert.SA != nil && !Whole(e.Alert.SA),
		e.Table != nil && slices.ContainsFunc(e.Table.SAs, func(sa *engine.IKESA) bool { return !Whole(sa) }):
		return errors.New("exact form of an event: an SA that is none")
	case e.Packet != nil && e.Packet.IKE != nil && e.Packet.IKE.Message == nil:
		return errors.New("exact form of an event: no message")
	case e.Packet == nil && e.ICMP == nil && e.Loss == nil && e.Gap == nil && e.Table == nil && e.Change == nil &&
		e.Log == nil && e.Alert == nil && e.Check == nil && e.Step == nil:
		return errors.New("exact form of an event: it says nothing")
	}
	return nil
}
