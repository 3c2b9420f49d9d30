package rule_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// IP protocols of what is inside.
const (
	innerICMP = 1
	innerTCP  = 6
	innerUDP  = 17
)

// carried sends one ESP packet of a length, and tells with keys what is in it.
func (s *scene) carried(fromInitiator bool, seq uint32, length int, protocol uint8) *scene {
	from, to, spi := s.b, s.a, wire.ESPSPI(0xc0000001)
	if fromInitiator {
		from, to, spi = s.a, s.b, 0xc0000002
	}
	p := &event.Packet{Src: from, Dst: to, Proto: event.ESP, Encap: event.IP, Length: length, ESP: &event.SecurityPacket{SPI: spi, Seq: seq}}
	if s.keys {
		p.ESP.Decrypted, p.ESP.ICVOK, p.ESP.Inner = true, true, &event.Inner{Protocol: protocol, Length: length - 60}
	}
	s.add(event.Event{Packet: p})
	return s
}

// asked sends packets of a length, each answered or not.
func (s *scene) asked(seq uint32, n, length int, protocol uint8, answered bool) *scene {
	for i := range uint32(n) {
		s.carried(true, seq+i, length, protocol).wait(20 * time.Millisecond)
		if answered {
			s.carried(false, seq+i, length, protocol)
		}
		s.wait(time.Second)
	}
	return s
}

func TestLargePacketsThatThePathDropsAreToldFromThoseThatAskForNoAnswer(t *testing.T) {
	tooBig := func(s *scene) {
		s.add(event.Event{ICMP: &event.ICMPError{From: bob, To: alice, Type: 3, Code: 4, MTU: 1300, What: "fragmentation needed", Src: alice, Dst: bob, Protocol: 50}})
	}
	hint, likely := []string{"medium mtu-pmtu-blackhole hint"}, []string{"high mtu-pmtu-blackhole likely"}
	tell(t, []story{
		{name: "long pings get no answer", sealed: hint, open: likely, says: "packets of 1444 octets from 192.0.2.1 to 192.0.2.2 are never answered, those of up to 140 octets are",
			tell: func(s *scene) { s.tunnel().asked(1, 5, 120, innerICMP, true).asked(6, 6, 1424, innerICMP, false) }},
		{name: "a TCP connection stalls at its first full segment", sealed: hint, open: likely, tell: func(s *scene) {
			s.tunnel().asked(1, 4, 120, innerTCP, true)
			for i, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second} {
				s.carried(true, 10+uint32(i), 1464, innerTCP).wait(wait)
			}
		}},
		{name: "the path says so, and the sender goes on", sealed: likely, open: likely, says: "192.0.2.1 is told that 1300 octets fit on the way to 192.0.2.2 and goes on with packets of 1444", tell: func(s *scene) {
			s.tunnel().asked(1, 5, 120, innerICMP, true).carried(true, 6, 1424, innerICMP).wait(time.Millisecond)
			tooBig(s)
			s.wait(time.Second).asked(7, 6, 1424, innerICMP, false)
		}},
		{name: "the path says so, and the sender heeds it", sealedOnly: true, tell: func(s *scene) {
			s.tunnel().asked(1, 5, 120, innerICMP, true).carried(true, 6, 1424, innerICMP).wait(time.Millisecond)
			tooBig(s)
			s.wait(time.Second).asked(7, 6, 1264, innerICMP, true)
		}},
		{name: "an upload, acknowledged now and then", sealedOnly: true, tell: func(s *scene) {
			s.tunnel()
			for i := range uint32(200) {
				s.carried(true, 1+i, 1464, innerTCP).wait(time.Millisecond)
				if i%4 == 3 {
					s.carried(false, 1+i/4, 96, innerTCP).wait(600 * time.Millisecond)
				}
			}
		}},
		{name: "large datagrams that ask for nothing, beside pings: keys tell", sealed: hint,
			tell: func(s *scene) { s.tunnel().asked(1, 5, 120, innerICMP, true).asked(6, 6, 1424, innerUDP, false) }},
		{name: "nothing is answered", sealedOnly: true, tell: func(s *scene) {
			s.tunnel().carried(false, 1, 120, innerICMP).asked(1, 8, 1424, innerICMP, false)
		}},
		{name: "long packets are lost for a while", sealedOnly: true, tell: func(s *scene) {
			s.tunnel().asked(1, 5, 120, innerICMP, true).asked(6, 6, 1424, innerICMP, false).asked(12, 2, 1424, innerICMP, true)
		}},
	})
}
