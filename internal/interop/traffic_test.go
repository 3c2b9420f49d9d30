package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// carrierSuites are suites that a gateway has for traffic: on Linux the ESP of
// OpenIKED has no AEAD.
func carrierSuites(software lab.Software) (ike, esp string) {
	if software == lab.OpenIKED {
		return "aes256-sha256-prfsha256-ecp256", "aes256-sha512"
	}
	return suiteIKE, "aes256gcm16"
}

// carries has a gateway carry traffic with us by its kernel: raw and in UDP, on
// a good road and on a rough one.
func (r *road) carries(t *testing.T, g lab.Gateway) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	ike, esp := carrierSuites(g.Software())
	conn := lab.GatewayConnection{Name: "gw", Local: lab.GuestIPv4, Remote: lab.NeighbourIPv4, LocalID: "gateway.lab", RemoteID: "ours.lab",
		PSK: secret, LocalTS: []string{theirsInside + "/32"}, RemoteTS: []string{oursInside + "/32"}, IKE: []string{ike}, ESP: []string{esp},
		RekeyIKE: time.Hour, RekeyChild: 30 * time.Minute}
	if err := g.Load(ctx, conn); err != nil {
		t.Fatal(err)
	}
	rec := recorder(t, g)
	// row runs a test with our engine.
	row := func(role interop.Role, feature, lines string, f func(t *testing.T, v *traveller, e *interop.Entry)) {
		t.Run(feature+" as "+string(role), func(t *testing.T) {
			e := rec.Entry(t, role, feature)
			logAt := size(g.Log())
			t.Cleanup(func() { showLog(t, g.Log(), logAt) })
			f(t, r.travel(t, ike, esp, lines), e)
		})
	}
	each := func(feature, lines string, encap bool) {
		for _, role := range interop.Roles() {
			if !interop.Full() && (role == interop.Initiator) == encap {
				continue // one way round each
			}
			row(role, feature, lines, func(t *testing.T, v *traveller, e *interop.Entry) {
				e.Detail("ping and a file by TCP, both ways; %s", esp)
				v.begin(role, g)
				if _, _, is := v.standing(); is != encap {
					t.Errorf("ESP in UDP: %v", is)
				}
				v.pings(3)
				v.file(1 << 20)
				if role == interop.Responder {
					v.ends(g, conn)
				}
			})
		}
	}
	each("data: ESP as IP protocol 50", "", false)
	each("data: ESP in UDP", ", nat: force", true)
	row(interop.Initiator, "data: 5 % loss and packets out of order", "", func(t *testing.T, v *traveller, e *interop.Entry) {
		e.Detail("each way; tunnel up, pings, child and IKE rekeyings by either side, a file by TCP, nothing goes down")
		by := interop.Roles()
		if !rekeysByOrder(g) {
			e.Detail("each way; tunnel up, pings, child and IKE rekeyings by us, a file by TCP, nothing goes down")
			by = by[:1]
		}
		r.rough(t)
		v.begin(interop.Initiator, g)
		downs := v.downs()
		times := 1
		if interop.Full() {
			times = 2
		}
		for range times {
			for _, who := range by {
				for _, ike := range []bool{false, true} {
					v.rekey(who, g, ike)
					v.pings(2)
				}
			}
		}
		v.file(256 << 10)
		if list := downs(); len(list) > 0 {
			t.Errorf("on the way %v", list)
		}
	})
}
