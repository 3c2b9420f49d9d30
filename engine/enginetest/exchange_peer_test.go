package enginetest

import (
	_ "embed"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
