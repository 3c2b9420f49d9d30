package scan

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab"
)

// configured gives the algorithms of swanctl's proposals by type, sorted. What a
// proposal leaves out strongSwan puts in: the PRF of its integrity.
func configured(t *testing.T, proposals string) map[wire.TransformType][]string {
	t.Helper()
	prfs := map[string]string{"sha256": "prfsha256", "sha384": "prfsha384", "sha512": "prfsha512", "sha1": "prfsha1", "aesxcbc": "prfaesxcbc", "md5": "prfmd5"}
	want := map[wire.TransformType][]string{}
	add := func(typ wire.TransformType, keyword string) {
		if !slices.Contains(want[typ], keyword) {
			want[typ] = append(want[typ], keyword)
		}
	}
	for p := range strings.SplitSeq(proposals, ",") {
		ts, err := wire.ParseProposal(wire.ProtocolIKE, p)
		if err != nil {
			t.Fatal(err)
		}
		named := slices.ContainsFunc(ts, func(x wire.Transform) bool { return x.Type == wire.TransformPRF })
		for i := range ts {
			add(ts[i].Type, ts[i].Keyword())
			if prf := prfs[ts[i].Keyword()]; ts[i].Type == wire.TransformInteg && !named && prf != "" {
				add(wire.TransformPRF, prf)
			}
		}
	}
	for _, list := range want {
		slices.Sort(list)
	}
	return want
}

// TestAScanOfStrongSwanFindsExactlyWhatIsConfigured scans one daemon with one
// list of proposals after another.
func TestAScanOfStrongSwanFindsExactlyWhatIsConfigured(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	lab.Need(t)
	bench := lab.BenchFor(ctx, t, lab.Scenario{Name: "scan", Ends: func(a, _ *lab.End) error {
		a.Absent = true
		return nil
	}})
	for _, proposals := range []string{
		"aes256gcm16-chacha20poly1305-prfsha384-prfsha256-ecp384-curve25519-modp2048,aes256-aes128-3des-sha256-sha1-modp3072-modp1024",
		"aes128-sha256-modp2048",
		"aes256-sha512-ecp384,aes192ctr-sha384-modp4096,3des-md5-modp768",
		"aes256ccm16-prfsha384-x448,aes256-sha384-ecp256",
		"aes128gcm8-aes192gcm12-prfaescmac-prfsha512-ecp521-modp2048s256",
	} {
		t.Run(proposals, func(t *testing.T) {
			end := bench.EndB
			end.Proposals = proposals
			if err := bench.B.Load(ctx, end.SwanctlConf()); err != nil {
				t.Fatal(err)
			}
			var line *UDP
			if err := bench.NSA.Do(func() (err error) {
				line, err = Dial(netip.Addr{}, netip.MustParseAddr(bench.OuterB), wire.PortIKE, wire.PortNATT)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = line.Close() }() // nothing more is expected from it
			line.Tries = 2
			r, err := Run(ctx, line, Options{Pace: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			want := configured(t, proposals)
			for _, typ := range []wire.TransformType{wire.TransformEncr, wire.TransformPRF, wire.TransformInteg, wire.TransformKE} {
				if got := keywords(r, typ); !slices.Equal(got, want[typ]) {
					t.Errorf("%s: %v, want %v", typ, got, want[typ])
				}
			}
			left := ""
			for i := range r.Accepted {
				a := &r.Accepted[i]
				if a.Contradicted() || a.Chosen && !a.Confirmed() || a.Alone == "" {
					t.Errorf("%s was accepted among others, and alone %q", a.Keyword(), a.Alone)
				}
				// The lab's daemon has no such algorithm, and agrees to it: what
				// it agreed to with it stays half open.
				lacks := a.Keyword() == "prfaescmac"
				if lacks {
					left = "PRF_AES128_CMAC"
				}
				if a.Deaf != lacks {
					t.Errorf("%s: deaf %t, want %t", a.Keyword(), a.Deaf, lacks)
				}
			}
			if r.IKEv2 != Answers || r.Port4500 != Answers || r.MajorVersion3 != "INVALID_MAJOR_VERSION" || !r.Has(wire.NotifyFragmentationSupported) {
				t.Errorf("IKEv2 %s, port 4500 %s, major version 3 %s, notifies %v", r.IKEv2, r.Port4500, r.MajorVersion3, r.Notifies)
			}
			sas, err := bench.B.Swanctl(ctx, "--list-sas")
			if err != nil || strings.TrimSpace(sas) != "" && (left == "" || !strings.Contains(sas, left)) {
				t.Errorf("SAs after the scan: %q, %v", sas, err)
			}
			t.Logf("%d requests, smallest round trip %s, critical payload: %s, IKEv1: %s", r.Requests, r.RTT, r.Critical, r.IKEv1)
		})
	}
}
