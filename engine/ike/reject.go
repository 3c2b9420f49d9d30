package ike

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Whatever a message of the peer's is refused for, and whatever the peer
// refuses, is told by a Check with both sides' values: a Failure that a
// datagram leads to never comes without one.

// maxDetails bounds the comparisons of parts in one step: a message may hold
// thousands of transforms. maxChecks bounds those of the whole, of which there
// may be some for each connection.
const (
	maxDetails = 512
	maxChecks  = 1024
)

// check reports a comparison and gives its outcome.
func (s *SA) check(c event.Check) bool { return s.checkUpTo(maxChecks, c) }

// detail reports the comparison of a part, of which a message may hold very
// many.
func (s *SA) detail(c event.Check) bool { return s.checkUpTo(maxDetails, c) }

func (s *SA) checkUpTo(most int, c event.Check) bool {
	c.SPIi, c.SPIr, c.Peer = s.spiI, s.spiR, s.path.remote.Addr()
	if len(s.res.Events) < most {
		s.emit(event.Event{Check: &c})
	}
	return c.OK
}

// refused reports the comparison that a message is refused for and makes the
// failure of it.
func (s *SA) refused(p wire.PayloadType, c event.Check, text string) *Failure {
	c.OK = false
	s.check(c)
	return &Failure{Payload: p, RFC: c.RFC, Text: text}
}

// ignore reports why a message that proves nothing about its sender is passed
// over.
func (s *SA) ignore(c event.Check, text string) {
	f := s.refused(0, c, text)
	f.Survived = true
	s.fail(f)
}

// malformed reports payloads that an exchange does not allow.
func (s *SA) malformed(p wire.PayloadType, rfc, what, local string, ps []wire.Payload, text string) *Failure {
	why := text
	if p != 0 {
		why = p.String() + " payload: " + text
	}
	return s.refused(p, event.Check{Kind: event.CheckGrammar, RFC: rfc, What: what, Local: local, Remote: payloadNames(ps), Why: why}, text)
}

// badValue reports a KE value that leads to no shared secret.
func (s *SA) badValue(ke *wire.KE, err error) *Failure {
	return s.refused(wire.PayloadKE, event.Check{Kind: event.CheckKE, RFC: "RFC 6989 2", What: "value of the peer's KE",
		Local: ke.Group.String(), Remote: fmt.Sprintf("%d octets", len(ke.Data)), Why: err.Error()}, err.Error())
}

// noKeys reports a proposal that no keys can be made for.
func (s *SA) noKeys(chosen *wire.Proposal, rfc string, err error) *Failure {
	return s.refused(wire.PayloadSA, event.Check{Kind: event.CheckTransform, RFC: rfc, What: "keys of the chosen proposal",
		Local: "what this program supports", Remote: proposalText(chosen), Why: err.Error()}, err.Error())
}

// badSPI reports the SPI of a proposal that cannot be one.
func (s *SA) badSPI(chosen *wire.Proposal, want string) *Failure {
	return s.refused(wire.PayloadSA, event.Check{Kind: event.CheckGrammar, RFC: "RFC 7296 3.3.1", Local: want,
		What: fmt.Sprintf("SPI of %s proposal %d", chosen.Protocol, chosen.Number), Remote: spiWords(chosen.SPI),
		Why: "no SPI of an SA"}, "an SPI of "+spiWords(chosen.SPI))
}

func spiWords(spi []byte) string { return fmt.Sprintf("%d octets, %x", len(spi), spi) }

// answeredBy reports what the peer answered in place of what was asked for.
func (s *SA) answeredBy(n wire.NotifyType, what, asked string) {
	s.check(event.Check{Kind: event.CheckRefusal, RFC: "RFC 7296 3.10.1", What: what, Local: asked, Remote: n.String()})
}

// temporary answers TEMPORARY_FAILURE to what cannot be done while something
// else is in progress, and tells both.
func (s *SA) temporary(rfc, asked, pending string) []wire.Payload {
	s.check(event.Check{Kind: event.CheckBusy, RFC: rfc, What: "request against what is in progress", Local: pending, Remote: asked,
		Why: wire.NotifyTemporaryFailure.String() + " is answered: the peer has to ask again later"})
	return notify(wire.NotifyTemporaryFailure, nil)
}

// pending says what of the IKE SA is in progress.
func (s *SA) pending() string {
	text := fmt.Sprintf("IKE SA %s", s.state)
	switch {
	case s.rekey.next != nil:
		text += ", replaced by " + s.rekey.next.name()
	case s.rekey.peer != nil:
		text += ", which the peer replaces by " + s.rekey.peer.sa.name()
	}
	for _, r := range s.out.requests {
		text += fmt.Sprintf("; request %d, %s, waits for its answer", r.id, r.task.name())
	}
	return text
}

// pending says why the child is not to be replaced.
func (c *child) pending() string {
	switch {
	case c.closer != nil:
		return fmt.Sprintf("child SA %s is being closed: %s", c, c.closer.why)
	case c.peer != nil:
		return fmt.Sprintf("child SA %s is replaced by %s", c, c.peer.child)
	}
	return fmt.Sprintf("child SA %s %s", c, c.state)
}

// childAsked says what a request for a child asks for.
func childAsked(m *message) string {
	text := "a new child"
	if n := m.has(wire.NotifyRekeySA); n != nil {
		text = fmt.Sprintf("a child in place of %s %x", n.Protocol, n.SPI)
	}
	if sa := find[*wire.SA](m, wire.PayloadSA); sa != nil {
		text += ": " + proposalWords(sa.Proposals)
	}
	for _, t := range []wire.PayloadType{wire.PayloadTSi, wire.PayloadTSr} {
		if ts := find[*wire.TS](m, t); ts != nil {
			text += fmt.Sprintf("; %s %s", t, selectorWords(ts.Selectors))
		}
	}
	return text
}

// requestIDs lists the message ids of the requests that wait for an answer.
func (s *SA) requestIDs() string {
	ids := make([]string, 0, len(s.out.requests))
	for _, r := range s.out.requests {
		ids = append(ids, fmt.Sprint(r.id))
	}
	if len(ids) == 0 {
		return "no request waits for an answer"
	}
	return "answers to " + strings.Join(ids, ", ")
}

// stranger reports a datagram that is for no SA here, as far as those that
// nobody vouches for may make events.
func (e *Endpoint) stranger(c event.Check, from netip.Addr, out *Output) {
	if !e.told.take(e.now) {
		return
	}
	c.Peer = from
	out.Events = append(out.Events, event.Event{Time: e.now, Check: &c})
}

// headerWords names what a message finds its SA by.
func headerWords(h *wire.Header) string {
	who, what := "the responder's", "request"
	if h.Initiator() {
		who = "the initiator's"
	}
	if h.Response() {
		what = "response"
	}
	return fmt.Sprintf("SPIs %s and %s, %s flag, %s %d", h.InitiatorSPI, h.ResponderSPI, who, what, h.MessageID)
}

// formWords lists the payloads of the form that a message comes nearest to,
// those that may be left out in brackets. Without a form nothing is asked of a
// message but that its payloads can be read.
func formWords(f *wire.Form) string {
	if f == nil {
		return "well-formed payloads, all that are critical known"
	}
	var words []string
	for _, r := range f.Payloads {
		if r.Min > 0 {
			words = append(words, r.Type.String())
		} else {
			words = append(words, "["+r.Type.String()+"]")
		}
	}
	for _, n := range f.Notifies {
		if n.Required {
			words = append(words, "N("+n.Type.String()+")")
		}
	}
	if len(words) == 0 {
		words = append(words, "no payloads")
	}
	return strings.Join(words, " ")
}

// sameGroup compares the group of the peer's KE, and of its choice, with the
// one that this side has sent a value for; nil where they are the same.
func (s *SA) sameGroup(rfc string, sent wire.KEMethod, ke *wire.KE, chosen wire.KEMethod) *Failure {
	c := event.Check{Kind: event.CheckKE, RFC: rfc, What: "group of the peer's KE", Local: sent.String(), Remote: "none"}
	switch {
	case ke == nil:
	case ke.Group != sent:
		c.Remote = ke.Group.String()
	default:
		if c.OK = chosen == sent; !c.OK {
			c.What = "group of the peer's choice"
		}
		c.Remote = chosen.String()
	}
	if c.OK {
		s.check(c)
		return nil
	}
	return s.refused(wire.PayloadKE, c, fmt.Sprintf("group %s, sent was %s", c.Remote, sent))
}

// otherGroupWanted reports a KE for another group than the one that was chosen.
func (s *SA) otherGroupWanted(rfc string, want, got wire.KEMethod) *Failure {
	remote := got.String()
	if got == 0 {
		remote = "none"
	}
	return s.refused(wire.PayloadKE, event.Check{Kind: event.CheckKE, RFC: rfc, What: "group of the peer's KE", Local: want.String(), Remote: remote},
		fmt.Sprintf("group %s where %s is wanted", remote, want))
}

// Unexplained says what a step that took a datagram has left without its
// reason, "" for nothing: a failure comes with a Check that did not hold, and
// each such Check has the values of both sides. Tests hold every step to it.
func Unexplained(out *Output) string {
	explained := out.Err == nil
	for i := range out.Events {
		c := out.Events[i].Check
		if c == nil || c.OK {
			continue
		}
		explained = true
		if c.What == "" || c.Local == "" || c.Remote == "" || c.RFC == "" {
			return fmt.Sprintf("a check without the values of both sides: %+v", *c)
		}
	}
	if !explained {
		return "a failure that no check explains: " + out.Err.Error()
	}
	return ""
}
