package diag

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// between is a trace with one IKE SA whose initiator is local.
func between(vendors ...trace.VendorID) (*trace.Trace, Subject) {
	sa := &trace.IKESA{VendorIDs: vendors}
	sa.InitiatorSPI, sa.Initiator = 0x1122334455667788, engine.Some(true)
	sa.Local.Host, sa.Remote.Host = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	return &trace.Trace{SAs: []*trace.IKESA{sa}}, Subject{Local: "192.0.2.1", Remote: "192.0.2.2", SPIi: sa.InitiatorSPI.String()}
}

func TestRemediesAreInTheWordsOfTheSystemThatNeedsThem(t *testing.T) {
	says := func(by trace.Origin, name string) trace.VendorID { return trace.VendorID{By: by, Name: name} }
	ios := "Cisco delete reason (IOS, ASA)"
	for _, c := range []struct {
		name    string
		claims  []trace.VendorID
		told    map[string]string
		daemon  bool
		want    string // side/platform of each remedy
		because string
	}{
		{"of nothing known, swanctl's words first", nil, nil, false,
			"responder/any both/strongswan network/any both/libreswan? responder/cisco? responder/fortios? initiator/libreswan?", ""},
		{"the responder claims to be a Cisco", []trace.VendorID{says(trace.Responder, ios)}, nil, false,
			"responder/any both/strongswan responder/cisco network/any both/libreswan? initiator/libreswan?", "192.0.2.2 claims to be Cisco IOS or ASA"},
		{"the initiator claims to be a libreswan", []trace.VendorID{says(trace.Initiator, "Libreswan 4.10")}, nil, false,
			"responder/any both/strongswan both/libreswan initiator/libreswan network/any responder/cisco? responder/fortios?", "192.0.2.1 claims to be Libreswan"},
		{"both claim to be strongSwan", []trace.VendorID{says(trace.Initiator, "strongSwan"), says(trace.Responder, "strongSwan 5.9.8")}, nil, false,
			"responder/any both/strongswan network/any", "192.0.2.1 claims to be strongSwan"},
		{"an id that others send too says nothing", []trace.VendorID{says(trace.Responder, "FlexVPN supported (Cisco, or strongSwan with cisco_flexvpn)")}, nil, false,
			"responder/any both/strongswan network/any both/libreswan? responder/cisco? responder/fortios? initiator/libreswan?", ""},
		{"what is told counts more than a claim", []trace.VendorID{says(trace.Responder, ios)}, map[string]string{"192.0.2.2": "fortios"}, false,
			"responder/any both/strongswan responder/fortios network/any both/libreswan? initiator/libreswan?", ""},
		{"this side is a charon, the peer is told", nil, map[string]string{"": "fortios"}, true,
			"responder/any both/strongswan responder/fortios network/any", ""},
		{"there is nothing for a PAN-OS, so it gets swanctl's words", nil, map[string]string{"192.0.2.2": "pan-os"}, true,
			"responder/any both/strongswan network/any", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, subject := between(c.claims...)
			tr.Daemon.Known = c.daemon
			f := Facts{Trace: tr, Vendors: c.told}
			rule := Rule{ID: "invented", Find: func(*Facts) []Finding {
				return []Finding{{Severity: High, Subject: subject, Remedies: []Remedy{
					anyone("responder", "ask"), swan("both", "x"), libre("both", "x"), cisco("responder", "x"), forti("responder", "x"), libre("initiator", "x"), network("open it")}}}
			}}
			found := Diagnose(&f, []Rule{rule})
			var got []string
			for _, r := range found[0].Remedies {
				word := r.Side + "/" + r.Platform
				if r.Other {
					word += "?"
				}
				got = append(got, word)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("remedies are %q, want %q", got, strings.Fields(c.want))
			}
			if claims := strings.Join(found[0].Claims, "; "); !strings.HasPrefix(claims, c.because) || (claims == "") != (c.because == "") {
				t.Errorf("claims are %q, want %q", claims, c.because)
			}
		})
	}
}

func TestEveryPlatformOfTheCatalogueCanBeTold(t *testing.T) {
	for _, e := range All() {
		for _, r := range e.Remedies {
			if r.Platform != "any" && r.Platform != "linux" && !slices.Contains(Platforms(), r.Platform) {
				t.Errorf("%s has a remedy for %q, which is no platform", e.ID, r.Platform)
			}
		}
	}
}
