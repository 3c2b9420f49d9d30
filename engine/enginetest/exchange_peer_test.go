package enginetest

import (
	_ "embed"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// exchangeNames are the names of strongSwan's exchange tests, suite and test a
// line; behind a name stands why it is left out, where it is.
//
//go:embed testdata/exchanges.txt
var exchangeNames string

func TestEveryExchangeScenarioIsHereOrLeftOutForAReason(t *testing.T) {
	files, err := filepath.Glob("exchange_*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	have := map[string]bool{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			_, names, ok := strings.Cut(line, "// ")
			suite, tests, named := strings.Cut(strings.TrimSpace(names), " test_")
			if !ok || !named || !strings.HasPrefix(line, "func Test") {
				if _, test, ok := strings.Cut(line, " { // true: "); ok && strings.HasPrefix(line, "\tfor ") { // a row of a table
					have["child_rekey "+strings.TrimSpace(test)] = true
				}
				continue
			}
			for test := range strings.SplitSeq("test_"+tests, ", ") {
				have[suite+" "+test] = true
			}
		}
	}
	for line := range strings.Lines(exchangeNames) {
		name, why, _ := strings.Cut(strings.TrimSpace(line), "\t")
		switch {
		case have[name] && why != "":
			t.Errorf("%s is here, and left out: %s", name, why)
		case !have[name] && why == "":
			t.Errorf("%s is not here, and nothing says why", name)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s is not in the list", name)
	}
}

// rekeyedChild has a host ask for a child's replacement.
func rekeyedChild(t *testing.T) (*Peer, *PeerSA, *Heard) {
	t.Helper()
	p := NewPeer(t, withoutPFS)
	s := p.Respond()
	for spi := range p.Host.Plane.Children {
		p.Host.Command(p.SA(), ike.RekeyChild{SPI: spi})
	}
	h := p.Take(s)
	if h.Notify(wire.NotifyRekeySA) == nil {
		t.Fatal("no REKEY_SA")
	}
	return p, s, h
}

func TestChildRekeyRegularResponderLostSA(t *testing.T) { // child_rekey test_regular_responder_lost_sa
	p, s, h := rekeyedChild(t)
	p.Answer(s, h, Note(wire.NotifyChildSANotFound))
	if again := p.Take(s); again.Message.Exchange != wire.ExchangeCreateChildSA || again.Notify(wire.NotifyRekeySA) != nil || len(p.Host.Plane.Children) != 0 {
		t.Errorf("the host goes on with %s and %d children, want the child to be set up anew", again.Message.Exchange, len(p.Host.Plane.Children))
	}
}

func TestChildRekeyRegularResponderIncorrectDelete(t *testing.T) { // child_rekey test_regular_responder_incorrect_delete
	p, s, h := rekeyedChild(t)
	ps := append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(9)})}, p.ChildPayloads(PeerESPSPI+9, false, "aes256gcm16-noesn")...)
	p.Answer(s, h, ps...)
	own := p.Take(s) // the host deletes the old one, as it should
	old := Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{binary.BigEndian.AppendUint32(nil, uint32(PeerESPSPI))}})
	p.Ask(s, wire.ExchangeInformational, old) // and so does the peer, which should not
	p.Answer(s, own)
	p.SA()
	for _, u := range p.Host.Plane.Children {
		if u.SPIs.Out != PeerESPSPI+9 || !u.Outbound {
			t.Errorf("child %s stands, sending %v", u.SPIs.Out, u.Outbound)
		}
	}
	if len(p.Host.Plane.Children) != 1 {
		t.Errorf("%d children", len(p.Host.Plane.Children))
	}
}

// TestAPeerThatLostOurAnswerToItsRekeyingKeepsTheTunnel has both sides replace
// the same, with the lowest nonce in our exchange, and a peer that never takes
// our answer: ours, though redundant, is the only one that both know.
func TestAPeerThatLostOurAnswerToItsRekeyingKeepsTheTunnel(t *testing.T) {
	t.Run("child SA", func(t *testing.T) {
		p, s, request := crossedChild(t)
		p.Answer(s, request, p.newChildAnswer(9)...)
		p.Silent()
		old, own := p.child(PeerESPSPI), p.child(PeerESPSPI+9)
		if own == nil || old == nil || !old.Outbound || own.Outbound {
			t.Fatal("the old child does not stay the one that is sent with, or ours is not there to receive with")
		}
		p.Run(5 * time.Minute)
		for len(p.Inbox) > 0 {
			h := p.Take(s)
			if !h.Message.Response() {
				p.Answer(s, h)
			}
		}
		if c := p.child(PeerESPSPI + 9); c == nil || !c.Outbound || len(p.Host.Plane.Children) != 1 {
			t.Errorf("%d children stand, ours among them: %v", len(p.Host.Plane.Children), c != nil)
		}
		if n := p.Host.Changes(event.ChildDown); n != 0 {
			t.Errorf("child-down %d times, want never", n)
		}
		p.SA()
	})
	t.Run("child SA, which it rekeys again", func(t *testing.T) {
		p, s, request := crossedChild(t)
		p.Answer(s, request, p.newChildAnswer(9)...)
		h := p.Ask(s, wire.ExchangeCreateChildSA, append([]wire.Payload{Body(wire.PayloadNotify,
			&wire.Notify{Protocol: wire.ProtocolESP, SPI: spi32(PeerESPSPI + 9), Type: wire.NotifyRekeySA})}, p.newChild(7)...)...)
		if h.Error() != 0 {
			t.Errorf("the host refuses: %s", h.Error())
		}
		if p.child(PeerESPSPI+7) == nil {
			t.Error("the new child is not there")
		}
	})
	t.Run("child SA, whose own replacement it deletes", func(t *testing.T) {
		p, s, request := crossedChild(t)
		p.Answer(s, request, p.newChildAnswer(9)...)
		p.Ask(s, wire.ExchangeInformational, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{spi32(PeerESPSPI + 5)}}))
		p.Answer(s, p.Take(s)) // the deletion of the old one
		if c := p.child(PeerESPSPI + 9); c == nil || !c.Outbound || len(p.Host.Plane.Children) != 1 {
			t.Errorf("%d children stand, ours among them: %v", len(p.Host.Plane.Children), c != nil)
		}
		if n := p.Host.Changes(event.ChildDown); n != 0 {
			t.Errorf("child-down %d times, want never", n)
		}
	})
	for _, row := range []struct {
		name string
		// shows has the peer show what it takes to stand, on its own replacement or
		// on the host's.
		shows func(p *Peer, theirs, ours *PeerSA)
	}{
		{"IKE SA", func(p *Peer, _, _ *PeerSA) { p.Run(5 * time.Minute) }},
		{"IKE SA, whose own replacement it deletes", func(p *Peer, theirs, _ *PeerSA) {
			p.Ask(theirs, wire.ExchangeInformational, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE}))
		}},
		{"IKE SA, in whose replacement by the host it asks for a child", func(p *Peer, _, ours *PeerSA) {
			if h := p.Ask(ours, wire.ExchangeCreateChildSA, p.newChild(7)...); h.Error() != wire.NotifyTemporaryFailure {
				t.Errorf("the answer is %s", h.Error())
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := NewPeer(t)
			s := p.Respond()
			p.Host.Source.NextNonces(0x00, 0xff)
			p.Host.Command(p.SA(), ike.RekeyIKE{})
			request := p.Take(s)
			theirs, h := p.RekeyIKE(s, "aes256gcm16-prfsha256-curve25519")
			if theirs == nil {
				t.Fatalf("the host refuses the crossing rekey: %s", h.Error())
			}
			ours := p.acceptRekeyIKE(s, request, 1, p.Proposal)
			p.Silent()
			row.shows(p, theirs, ours)
			last := p.Take(s)
			if d := PayloadOf[*wire.Delete](t, last.Inner, wire.PayloadDelete); d.Protocol != wire.ProtocolIKE {
				t.Fatalf("the host deletes %s, want the old IKE SA", d.Protocol)
			}
			p.Answer(s, last)
			p.Inbox = nil // what the host had repeated
			if got := p.SA(); got.LocalSPI() != ours.SPIi || len(got.Model().Children) != 1 {
				t.Errorf("IKE SA %s stands with %d children", got.LocalSPI(), len(got.Model().Children))
			}
			if n := p.Host.Changes(event.IKEDown); n != 0 {
				t.Errorf("ike-down %d times, want never", n)
			}
			p.Ask(ours, wire.ExchangeInformational)
		})
	}
}

// crossedChild has both sides ask for a child's replacement, with the lowest
// nonce in the host's exchange, which is not answered yet.
func crossedChild(t *testing.T) (*Peer, *PeerSA, *Heard) {
	t.Helper()
	p := NewPeer(t, withoutPFS)
	s := p.Respond()
	p.Host.Source.NextNonces(0x00, 0xff)
	for spi := range p.Host.Plane.Children {
		p.Host.Command(p.SA(), ike.RekeyChild{SPI: spi})
	}
	request := p.Take(s)
	h := p.Ask(s, wire.ExchangeCreateChildSA, append([]wire.Payload{Body(wire.PayloadNotify,
		&wire.Notify{Protocol: wire.ProtocolESP, SPI: spi32(PeerESPSPI), Type: wire.NotifyRekeySA})}, p.newChild(5)...)...)
	if h.Error() != 0 {
		t.Fatalf("the host refuses the crossing rekey: %s", h.Error())
	}
	return p, s, request
}

// newChildAnswer accepts a child without PFS; n tells its SPI and nonce.
func (p *Peer) newChildAnswer(n byte) []wire.Payload {
	return append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(n)})}, p.ChildPayloads(PeerESPSPI+wire.ESPSPI(n), false, "aes256gcm16-noesn")...)
}
