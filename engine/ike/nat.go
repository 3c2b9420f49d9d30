package ike

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// natPayloads gives the two NAT detection notifies for a path (RFC 7296 2.23).
// A forced one claims a source that nobody has.
func (s *SA) natPayloads(spiI, spiR wire.SPI, p path, force bool) []wire.Payload {
	source := engine.NATHash(spiI, spiR, unmap(p.local))
	if force {
		source = engine.NATHash(spiI, spiR, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	}
	return []wire.Payload{
		payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyNATDetectionSourceIP, Data: source}),
		payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyNATDetectionDestinationIP,
			Data: engine.NATHash(spiI, spiR, unmap(p.remote))}),
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// detectNAT compares the peer's NAT detection notifies with the addresses that
// its message came with. present is false where it sent none.
func (s *SA) detectNAT(spiI, spiR wire.SPI, m *message) (present bool) {
	want := engine.NATHash(spiI, spiR, unmap(m.path.remote))
	sources, same, last := 0, false, []byte(nil)
	for i := range m.payloads {
		n, ok := m.payloads[i].Body.(*wire.Notify)
		if !ok {
			continue
		}
		switch n.Type {
		case wire.NotifyNATDetectionSourceIP:
			sources++
			same = same || bytes.Equal(n.Data, want)
			last = n.Data
		case wire.NotifyNATDetectionDestinationIP:
			own := engine.NATHash(spiI, spiR, unmap(m.path.local))
			s.natLocal = !s.check(event.Check{Kind: event.CheckNAT, RFC: "RFC 7296 2.23", OK: bytes.Equal(own, n.Data),
				What:  fmt.Sprintf("NAT_DETECTION_DESTINATION_IP against %s", m.path.local),
				Local: fmt.Sprintf("%x", own), Remote: hexOf(n.Data)})
			present = true
		}
	}
	if sources > 0 {
		s.natRemote = !s.check(event.Check{Kind: event.CheckNAT, RFC: "RFC 7296 2.23", OK: same,
			What:  fmt.Sprintf("NAT_DETECTION_SOURCE_IP (%d) against %s", sources, m.path.remote),
			Local: fmt.Sprintf("%x", want), Remote: hexOf(last)})
		present = true
	}
	return present
}

// octetWords gives octets of the peer's behind a colon, nothing where there are
// none.
func octetWords(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return ": " + hexOf(b)
}

// hexOf gives octets of the peer's as digits, the first 32 of them.
func hexOf(b []byte) string {
	if len(b) > 32 {
		return fmt.Sprintf("%x... (%d octets)", b[:32], len(b))
	}
	return fmt.Sprintf("%x", b)
}

// encap says whether ESP has to go in UDP.
func (s *SA) encap() bool {
	return s.natLocal || s.natRemote || s.conn != nil && s.conn.ForceEncap && s.path.marked
}

// float moves an initiator to the NATT ports once a NAT is known, or where it
// is told to act as if (RFC 7296 2.23).
func (s *SA) float() {
	if s.path.marked || !s.natLocal && !s.natRemote && !s.conn.ForceEncap {
		return
	}
	old := s.path
	s.path.local = netip.AddrPortFrom(old.local.Addr(), s.set.Ports.NATT)
	s.path.remote = netip.AddrPortFrom(old.remote.Addr(), s.conn.remotePorts().NATT)
	s.path.marked = true
	s.note("port-float", "", "from %s to %s", old.remote, s.path.remote)
}

// follow takes a changed address of the peer from an authentic message: by the
// rules of RFC 7296 2.23 only where the peer is behind a NAT and we are not.
// The first move to the NATT ports is always followed.
func (s *SA) follow(p path) {
	if p == s.path || s.initiator && s.established.IsZero() {
		return
	}
	floats := p.marked && !s.path.marked && p.remote.Addr() == s.path.remote.Addr()
	if !floats && (!s.natRemote || s.natLocal) {
		s.check(event.Check{Kind: event.CheckPath, RFC: "RFC 7296 2.23", What: "address of the peer",
			Local:  fmt.Sprintf("%s, kept: NAT in front of it %t, in front of us %t", s.path.remote, s.natRemote, s.natLocal),
			Remote: fmt.Sprintf("%s, to %s", p.remote, p.local)})
		return
	}
	old := s.Model()
	s.path = p
	s.keepaliveTimer()
	if s.established.IsZero() {
		return
	}
	s.note("moved", "", "the peer is now at %s, before at %s", p.remote, old.Remote.AddrPort())
	s.change(event.IKEUpdate, old)
	for _, c := range s.children {
		if c.installed {
			s.res.Updates = append(s.res.Updates, Update{Kind: Move, Name: c.cfg.Name, SPIs: SPIPair{c.in, c.out},
				Local: p.local, Remote: p.remote, Encap: s.encap()})
		}
	}
}

// keepaliveTimer runs while this side is behind a NAT and silent (RFC 3948 4).
func (s *SA) keepaliveTimer() {
	if !s.natLocal || !s.active() || s.set.Keepalive <= 0 {
		s.stop(TimerKeepalive)
		return
	}
	s.timers[TimerKeepalive] = s.now.Add(s.set.Keepalive)
}

// keepalive sends one octet that keeps the NAT's mapping open.
func (s *SA) keepalive() {
	s.res.Datagrams = append(s.res.Datagrams, Datagram{Local: s.path.local, Remote: s.path.remote, Marked: s.path.marked, Octets: []byte{0xff}})
	s.sent = s.now
	s.keepaliveTimer()
}
