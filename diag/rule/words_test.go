package rule_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestFindingsReadAsTheirGoldenSays holds the words of whole findings: what is
// wrong, how we know, what to type.
func TestFindingsReadAsTheirGoldenSays(t *testing.T) {
	for _, row := range []struct {
		name string
		keys bool
		tell func(*scene)
	}{
		{"no-response", false, func(s *scene) { s.hello().again(backoff()...) }},
		{"no-proposal", false, func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, "aes256-sha256-modp3072"), ke(wire.KEModp3072), nonce()).
				clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyNoProposalChosen))
			s.wait(time.Minute).anew()
			s.a, s.b = s.b, s.a
			s.initWith("aes256-sha256-ecp384")
		}},
		{"wrong-identity", true, func(s *scene) { s.init().authRequest().refuses() }},
		{"selectors", true, func(s *scene) {
			s.init().authRequest().wait(20*time.Millisecond).sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), notify(wire.NotifyTSUnacceptable))
		}},
		{"peer-gone", false, func(s *scene) { s.tunnel().ping(5).sealed(ask, wire.ExchangeInformational, 2).again(backoff()...) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene(t, row.keys)
			row.tell(s)
			var b bytes.Buffer
			for _, f := range s.findings(0) {
				fmt.Fprintf(&b, "%s\n  why: %s\n", line(f), f.Cause)
				for _, e := range f.Evidence {
					fmt.Fprintf(&b, "  frame %d at %s: %s\n", e.Frame, e.Time.Format("15:04:05.000"), e.What)
				}
				for _, r := range f.Remedies {
					fmt.Fprintf(&b, "  %s, %s: %s\n", r.Side, r.Platform, r.Change)
				}
				if f.Surer != "" {
					fmt.Fprintf(&b, "  surer with: %s\n", f.Surer)
				}
			}
			path := filepath.Join("testdata", row.name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("(-golden +now), -update writes it anew:\n%s", d)
			}
		})
	}
}
