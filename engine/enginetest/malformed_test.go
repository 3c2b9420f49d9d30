package enginetest

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// malformed are messages that once crashed or confused other daemons, a line
// of hexadecimal digits each.
//
//go:embed testdata/malformed.txt
var malformed string

func TestMessagesThatCrashedOtherDaemonsChangeNothingInAnyState(t *testing.T) {
	states := map[string]func(*Peer) *PeerSA{
		"idle":           func(*Peer) *PeerSA { return nil },
		"IKE_SA_INIT":    func(p *Peer) *PeerSA { s, _ := p.InitResponse(p.Begin()); return s },
		"IKE_AUTH":       func(p *Peer) *PeerSA { s, m := p.InitResponse(p.Begin()); p.Responded(s, m); return s },
		"half-open":      func(p *Peer) *PeerSA { s, m := p.InitRequest(); p.Initiated(s, m); return s },
		"host initiated": (*Peer).Respond,
		"host responded": (*Peer).Initiate,
		"host rekeys the IKE SA": func(p *Peer) *PeerSA {
			s := p.Initiate()
			p.Host.Command(p.SA(), ike.RekeyIKE{})
			return s
		},
		"host rekeys the child": func(p *Peer) *PeerSA {
			s := p.Respond()
			for spi := range p.Host.Plane.Children {
				p.Host.Command(p.SA(), ike.RekeyChild{SPI: spi})
			}
			return s
		},
	}
	for name, reach := range states {
		t.Run(name, func(t *testing.T) {
			for line := range strings.Lines(malformed) {
				octets, err := hex.DecodeString(strings.TrimSpace(line))
				if err != nil {
					t.Fatal(err)
				}
				if m, _ := wire.Parse(octets); m == nil {
					t.Error("Parse gives no message")
				}
				p := NewPeer(t)
				s := reach(p)
				stood := len(p.Host.Established())
				p.Send(octets)
				if s != nil && len(octets) >= 16 { // once more as if for the SA that stands
					binary.BigEndian.PutUint64(octets, uint64(s.SPIi))
					binary.BigEndian.PutUint64(octets[8:], uint64(s.SPIr))
					for flags := range 8 {
						octets[19] = byte(flags) << 3
						p.Send(octets)
					}
				}
				p.Run(time.Second)
				if n := len(p.Host.Established()); n != stood {
					t.Errorf("%d IKE SAs stand, before it were %d", n, stood)
				}
				if stood == 1 {
					p.Inbox = nil
					p.Ask(s, wire.ExchangeInformational)
				}
			}
		})
	}
}
