package rule_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// login is an IKE SA that a device brings up, saying that it has no other.
func (s *scene) login(from netip.Addr, id string) *scene {
	s.a = from
	return s.init().sealed(ask, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, id), notify(wire.NotifyInitialContact), fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32),
		proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")).authResponse()
}

func TestDevicesThatShareAnIdentityAreToldFromOneThatBeginsAnew(t *testing.T) {
	carol := netip.MustParseAddr("192.0.2.3")
	after := func(s *scene, d time.Duration) *scene { return s.wait(d).anew() }
	tell(t, []story{
		{name: "two devices evict each other", open: []string{"high initial-contact-kills-sibling likely"},
			says: "192.0.2.1 and 192.0.2.3 come in turn as a.example, and each ends the other's tunnel, twice",
			tell: func(s *scene) {
				after(after(s.login(alice, "a.example"), time.Minute).login(carol, "a.example"), time.Minute).login(alice, "a.example")
			}},
		{name: "again and again", open: []string{"high initial-contact-kills-sibling certain"}, tell: func(s *scene) {
			for range 3 {
				after(after(s.login(alice, "a.example"), time.Minute).login(carol, "a.example"), time.Minute)
			}
		}},
		{name: "a device with another identity", tell: func(s *scene) {
			after(after(s.login(alice, "a.example"), time.Minute).login(carol, "c.example"), time.Minute).login(alice, "a.example")
		}},
		{name: "one device that begins anew", tell: func(s *scene) {
			after(after(s.login(alice, "a.example"), time.Minute).login(alice, "a.example"), time.Minute).login(alice, "a.example")
		}},
		{name: "one device that goes to another network and comes home in the evening", tell: func(s *scene) {
			after(after(s.login(alice, "a.example"), 8*time.Hour).login(carol, "a.example"), 8*time.Hour).login(alice, "a.example")
		}},
	})
}
