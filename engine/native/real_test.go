package native_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/lab"
)

// strongSwan starts an engine on the first end of a bench, with a policy file,
// and a strongSwan daemon on the second.
func strongSwan(t *testing.T) (*started, *lab.Daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab.Need(t)
	var ours, theirs lab.End
	bench, err := lab.NewBench(ctx, lab.Scenario{Name: "native", Ends: func(a, b *lab.End) error {
		b.Proposals, b.ESP = "aes256gcm16-prfsha256-ecp256", "aes256gcm16-ecp256"
		a.Absent = true
		b.RemoteAddrs = a.LocalAddrs
		ours, theirs = *a, *b
		return nil
	}}, t.TempDir())
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p := loadPolicy(t, fmt.Sprintf(`version: 1
node: {identity: %q, addresses: %s}
peers:
  gw: {addresses: %s, identity: %q, auth: psk, psk: {file: psk}}
tunnels:
  net: {peer: gw, local: %s, remote: %s}
`, ours.Local.ID, bench.OuterA, bench.OuterB, theirs.Local.ID, ours.LocalTS, theirs.LocalTS), "lab only: never use this")
	s := start(t, p, func(o *native.Options) {
		o.Listen = func(a netip.AddrPort) (*net.UDPConn, error) { return bench.NSA.ListenUDP(a.String()) }
		o.Settings.Retransmit.Timeout = 500 * time.Millisecond
	})
	return s, bench.B
}

// swanctl runs a command on the peer.
func swanctl(t *testing.T, d *lab.Daemon, args ...string) string {
	t.Helper()
	text, err := d.Swanctl(limited(t), args...)
	if err != nil {
		t.Fatalf("swanctl %v: %v", args, err)
	}
	return text
}

func TestPolicyRunsAgainstStrongSwan(t *testing.T) {
	s, peer := strongSwan(t)
	// agree waits until both sides have the same SPIs.
	agree := func(what string) {
		t.Helper()
		s.until(t, what, func() bool {
			if !s.one(t, "net") {
				return false
			}
			sa := s.sas(t)[0]
			in, _ := sa.Children[0].SPIIn.Get()
			text := swanctl(t, peer, "--list-sas")
			return strings.Contains(text, sa.InitiatorSPI.String()) && strings.Contains(text, in.String()) && strings.Count(text, "INSTALLED") == 1
		})
	}
	gone := func() {
		t.Helper()
		s.until(t, "nothing is left", func() bool {
			return len(s.sas(t)) == 0 && s.plane.Installed() == 0 && !strings.Contains(swanctl(t, peer, "--list-sas"), "ESTABLISHED")
		})
	}

	s.up(t, "net")
	agree("our tunnel is up")
	if probe, err := s.DPD(limited(t), "gw", nil); err != nil || !probe.Answered {
		t.Errorf("liveness check: %+v, %v", probe, err)
	}
	for _, row := range []struct {
		what   string
		target backend.Target
		theirs []string
	}{
		{"child", backend.Target{Child: "net"}, []string{"--rekey", "--child", "net"}},
		{"IKE SA", backend.Target{IKE: "gw"}, []string{"--rekey", "--ike", "gw"}},
	} {
		for _, by := range []string{"us", "them"} {
			before := s.sas(t)[0]
			if by == "us" {
				if _, err := s.Rekey(limited(t), row.target, backend.RekeyOptions{}); err != nil {
					t.Fatal(err)
				}
			} else {
				swanctl(t, peer, row.theirs...)
			}
			s.until(t, row.what+" is rekeyed by "+by, func() bool {
				if !s.one(t, "net") {
					return false
				}
				now := s.sas(t)[0]
				if row.target.Child != "" {
					return now.Children[0].SPIIn != before.Children[0].SPIIn
				}
				return now.InitiatorSPI != before.InitiatorSPI
			})
			agree("both have the new " + row.what)
		}
	}
	if err := s.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	gone()

	swanctl(t, peer, "--initiate", "--child", "net")
	agree("the peer's tunnel is up")
	swanctl(t, peer, "--terminate", "--ike", "gw")
	gone()

	s.up(t, "net")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Eventually(t.Context(), patience, "the peer to hear that we end", func() bool {
		return !strings.Contains(swanctl(t, peer, "--list-sas"), "ESTABLISHED")
	}); err != nil {
		t.Fatal(err)
	}
}
