package ike

import (
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxExplained is how many connections a refused request is compared with.
const maxExplained = 4

// explain goes on with a request whose identities fit no connection, where the
// endpoint is to explain: would its proof hold for one, and its child fit? It
// only reports.
func (s *SA) explain(m *message, idi *wire.ID, proof *wire.Auth) {
	if !s.set.Explain {
		return
	}
	signed := s.prf.SignedOctets(s.initRequest, s.nr, s.keys.PI, wire.AppendBody(nil, idi))
	for _, c := range s.choices[:min(len(s.choices), maxExplained)] {
		// Keys are filed under the identity that is wanted, certificates
		// confirm the one that is claimed.
		who := s.remoteID
		if want, one := c.RemoteID.ID(); one && proof != nil && proof.Method == wire.AuthSharedKey {
			who = want
		}
		if proof != nil {
			s.verify(c, m, who, c.LocalID, signed)
		}
		s.compareChild(m, c)
	}
}

// compareChild reports what of the child in a refused IKE_AUTH request fits a
// connection.
func (s *SA) compareChild(m *message, c *Connection) {
	sa, tsi, tsr := find[*wire.SA](m, wire.PayloadSA), find[*wire.TS](m, wire.PayloadTSi), find[*wire.TS](m, wire.PayloadTSr)
	if sa == nil || tsi == nil || tsr == nil {
		return
	}
	cfg, _, _ := s.selectChild(c.Children, tsi, tsr, m.has(wire.NotifyUseTransportMode) != nil)
	switch {
	case cfg != nil:
		s.choose(wire.ProtocolESP, sa.Proposals, cfg.Proposals, false, 0)
	case len(c.Children) == 1:
		s.choose(wire.ProtocolESP, sa.Proposals, c.Children[0].Proposals, false, 0)
	}
}
