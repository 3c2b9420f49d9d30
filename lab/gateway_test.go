package lab

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestEveryGatewayIsToldItsProposalsInItsOwnWords(t *testing.T) {
	for _, row := range []struct {
		protocol        wire.ProtocolID
		proposals       []string
		libreswan, iked string
	}{
		{wire.ProtocolIKE, []string{"aes256gcm16-prfsha256-ecp256"}, "aes_gcm256-sha2_256;dh19", " ikesa enc aes-256-gcm prf hmac-sha2-256 group ecp256"},
		{wire.ProtocolIKE, []string{"aes128-sha1-modp2048", "3des-sha512-curve25519"}, "aes128-sha1;dh14,3des-sha2_512;dh31",
			" ikesa enc aes-128 prf hmac-sha1 auth hmac-sha1 group modp2048 ikesa enc 3des prf hmac-sha2-512 auth hmac-sha2-512 group curve25519"},
		{wire.ProtocolIKE, []string{"aes256-sha256-prfsha512-ecp256-ecp384"}, "aes256-sha2_256-sha2_512;dh19+dh20",
			" ikesa enc aes-256 prf hmac-sha2-512 auth hmac-sha2-256 group ecp256 group ecp384"},
		{wire.ProtocolESP, []string{"aes256-sha512-ecp256"}, "aes256-sha2_512;dh19", " childsa enc aes-256 auth hmac-sha2-512 group ecp256"},
		{wire.ProtocolESP, []string{"chacha20poly1305"}, "chacha20_poly1305", " childsa enc chacha20-poly1305"},
	} {
		l, errL := libreswanProposals(row.protocol, row.proposals)
		o, errO := ikedProposals(row.protocol, row.proposals)
		if err := errors.Join(errL, errO); err != nil {
			t.Fatal(err)
		}
		if l != row.libreswan || o != row.iked {
			t.Errorf("%v is\n%q, want %q, and\n%q, want %q", row.proposals, l, row.libreswan, o, row.iked)
		}
	}
	if _, err := ikedProposals(wire.ProtocolESP, []string{"aes256ccm16"}); !errors.Is(err, ErrNoOrder) {
		t.Errorf("OpenIKED is told of CCM: %v", err)
	}
}

func TestASettingThatAGatewayLacksIsNamed(t *testing.T) {
	o := &openIKED{}
	_, err := o.policy(&GatewayConnection{Name: "x", ForceEncap: true})
	if !errors.Is(err, ErrNoOrder) || !strings.Contains(err.Error(), "UDP") {
		t.Errorf("error %v", err)
	}
}

func TestAnIdentityIsWrittenAsEachGatewayHasIt(t *testing.T) {
	for _, row := range [][4]string{
		{"peer.lab", "@peer.lab", `"peer.lab"`, "peer.lab"},
		{"they@peer.lab", "they@peer.lab", `"they@peer.lab"`, "they@peer.lab"},
		{"192.0.2.2", "192.0.2.2", `"192.0.2.2"`, "192.0.2.2"},
		{"C=CH, CN=right", `"C=CH, CN=right"`, `"/C=CH/CN=right"`, `"C=CH, CN=right"`},
	} {
		if got := [4]string{row[0], libreswanID(row[0]), ikedID(row[0]), charonID(row[0])}; got != row {
			t.Errorf("%q is %q, want %q", row[0], got[1:], row[1:])
		}
	}
}
