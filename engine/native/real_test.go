package native_test

import (
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/lab"
)

func TestPolicyRunsAgainstStrongSwan(t *testing.T) {
	r := newRig(t, layout{counter: true, esp: "aes256gcm16-ecp256"})
	s := r.started
	// agree waits until both sides have the same SPIs.
	agree := func(what string) {
		t.Helper()
		s.until(t, what, func() bool {
			if !s.one(t, "net") {
				return false
			}
			sa := s.sas(t)[0]
			in, _ := sa.Children[0].SPIIn.Get()
			text := r.swanctl("--list-sas")
			return strings.Contains(text, sa.InitiatorSPI.String()) && strings.Contains(text, in.String()) && strings.Count(text, "INSTALLED") == 1
		})
	}
	gone := func() {
		t.Helper()
		s.until(t, "nothing is left", func() bool {
			return len(s.sas(t)) == 0 && s.plane.Installed() == 0 && !strings.Contains(r.swanctl("--list-sas"), "ESTABLISHED")
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
				r.swanctl(row.theirs...)
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

	r.swanctl("--initiate", "--child", "net")
	agree("the peer's tunnel is up")
	r.swanctl("--terminate", "--ike", "gw")
	gone()

	s.up(t, "net")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Eventually(t.Context(), patience, "the peer to hear that we end", func() bool {
		return !strings.Contains(r.swanctl("--list-sas"), "ESTABLISHED")
	}); err != nil {
		t.Fatal(err)
	}
}
