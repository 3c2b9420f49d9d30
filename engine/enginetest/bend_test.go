package enginetest

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TestEachWayOfBendingAMessageIsTried names the ways as strongSwan's
// conformance tester does. Its log_id, log_ke, log_proposals and log_ts bend
// nothing; its reset_seq bends ESP, which package esp tries. Those that a
// receiver has to overlook are tried in every message besides, see
// TestBendingsThatMeanNothingPassInEveryMessage.
func TestEachWayOfBendingAMessageIsTried(t *testing.T) {
	for name, try := range map[string]func(*testing.T){
		"add_notify":  func(t *testing.T) { errorsInInformational(t, (*Peer).Initiate, 40959) },
		"add_payload": func(t *testing.T) { unknownPayloadInRequests(t, true) },
		"custom_proposal": func(t *testing.T) {
			choosesIKE(t, "aes256gcm16-prfsha256-curve25519", "3des-sha1-prfsha1-curve25519", "aes256gcm16-prfsha256-curve25519")
		},
		"force_cookie":   func(t *testing.T) { cookieIsReturned(t, "cookie") },
		"ignore_message": func(t *testing.T) { requestIsRepeated(t, "auth") },
		"ike_auth_fill":  TestBigMessagesGoInFragments,
		"pretend_auth":   wrongProofIsRefused,
		"rebuild_auth":   authResponseIsWellFormed,
		"set_critical": func(t *testing.T) { // of payloads that everybody knows: it means nothing
			bentInitRequest(t, 0, func(m *wire.Message) {
				for i := range m.Payloads {
					m.Payloads[i].Critical = true
				}
			})
		},
		"set_ike_initiator": func(t *testing.T) {
			p := NewPeer(t)
			s := p.Initiate()
			h := s.Header(wire.ExchangeInformational, s.Next, false)
			h.Flags &^= wire.FlagInitiator
			p.Send(p.Octets(s, h))
			if a := p.Take(nil); a.Sealed || a.Error() != wire.NotifyInvalidIKESPI { // to that flag belongs an SPI that nobody has
				t.Errorf("answered with %s, sealed %v", a.Error(), a.Sealed)
			}
			p.Ask(s, wire.ExchangeInformational)
			p.SA()
		},
		"set_ike_request": responseBitIsIgnored,
		"set_ike_spi":     unknownSPIIsTold,
		"set_ike_version": func(t *testing.T) {
			bentInitRequest(t, wire.NotifyInvalidMajorVersion, func(m *wire.Message) { m.Version = 0x30 })
		},
		"set_length": malformedRequestIsRefused,
		"set_proposal_number": func(t *testing.T) {
			p := NewPeer(t)
			_, m := p.InitResponse(p.Begin())
			PayloadOf[*wire.SA](t, m.Payloads, wire.PayloadSA).Proposals[0].Number = 9
			p.Send(m.Append(nil))
			p.Silent()
		},
		"set_reserved":       reservedInAuthRequest,
		"unencrypted_notify": func(t *testing.T) { clearMessagesEndNothing(t, (*Peer).Respond) },
		"unsort_message":     responderScenarios["1.1.4.5"],
	} {
		t.Run(name, try)
	}
}
