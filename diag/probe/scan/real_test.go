package scan

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab"
)

func TestAScanOfStrongSwanFindsItsProposalsAndLeavesNothingBehind(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	lab.Need(t)
	bench, err := lab.NewBench(ctx, lab.Scenario{Name: "scan", Ends: func(a, b *lab.End) error {
		a.Absent = true
		b.Proposals = "aes256gcm16-chacha20poly1305-prfsha384-prfsha256-ecp384-curve25519-modp2048,aes256-aes128-3des-sha256-sha1-modp3072-modp1024"
		return nil
	}}, t.TempDir())
	t.Cleanup(func() {
		if err := errors.Join(bench.Close()); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var line *UDP
	if err := bench.NSA.Do(func() (err error) {
		line, err = Dial(netip.Addr{}, netip.MustParseAddr(bench.OuterB), wire.PortIKE, wire.PortNATT)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = line.Close() }()
	line.Timeout = 500 * time.Millisecond
	r, err := Run(ctx, line, Options{Pace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[wire.TransformType][]string{
		wire.TransformEncr:  {"3des", "aes128", "aes256", "aes256gcm16", "chacha20poly1305"},
		wire.TransformPRF:   {"prfsha1", "prfsha256", "prfsha384"},
		wire.TransformInteg: {"sha1", "sha256"},
		wire.TransformKE:    {"curve25519", "ecp384", "modp1024", "modp2048", "modp3072"},
	} {
		if got := keywords(r, typ); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", typ, got, want)
		}
	}
	if r.IKEv2 != Answers || r.Port4500 != Answers || r.MajorVersion3 != "INVALID_MAJOR_VERSION" || !r.Has(wire.NotifyFragmentationSupported) {
		t.Errorf("IKEv2 %s, port 4500 %s, major version 3 %s, notifies %v", r.IKEv2, r.Port4500, r.MajorVersion3, r.Notifies)
	}
	sas, err := bench.B.Swanctl(ctx, "--list-sas")
	if err != nil || strings.TrimSpace(sas) != "" {
		t.Errorf("SAs after the scan: %q, %v", sas, err)
	}
	t.Logf("%d requests, smallest round trip %s, critical payload: %s", r.Requests, r.RTT, r.Critical)
}
