package link_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab"
)

// end is our side of a bench whose other side is a strongSwan daemon.
type end struct {
	t     *testing.T
	bench *lab.Bench
	peer  *lab.Daemon
	pump  *link.Pump

	mu       sync.Mutex
	children map[wire.ESPSPI]ike.Update
	events   []event.Event
	errs     []string
}

// strongSwan lays a bench with our engine on one side; its proposals are those
// of both sides. change may alter the daemon's end and our connection.
func strongSwan(t *testing.T, initiator bool, ikeProposal, espProposal string, change func(*lab.End, *ike.Connection)) *end {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if os.Geteuid() != 0 {
		noPeer(t, lab.ErrNotRoot)
	}
	if err := lab.Ensure(ctx); err != nil {
		noPeer(t, err)
	}
	conn := &ike.Connection{Name: "gw"}
	scenario := lab.Scenario{Name: "engine", Ends: func(a, b *lab.End) error {
		ours, theirs := a, b
		if !initiator {
			ours, theirs = b, a
		}
		theirs.Proposals, theirs.ESP = ikeProposal, espProposal
		conn.LocalID, conn.RemoteID = id(t, ours.Local.ID), auth.Exactly(id(t, theirs.Local.ID))
		conn.Credentials = auth.SharedKeys{{Key: suite.NewSecret([]byte("lab only: never use this"))}}
		conn.Proposals = proposals(t, wire.ProtocolIKE, ikeProposal)
		conn.Children = []*ike.ChildConfig{{Name: "net", Proposals: proposals(t, wire.ProtocolESP, espProposal),
			LocalTS: selector(ours.LocalTS), RemoteTS: selector(theirs.LocalTS)}}
		if change != nil {
			change(theirs, conn)
		}
		ours.Absent = true
		return nil
	}}
	bench, err := lab.NewBench(ctx, scenario, t.TempDir())
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	e := &end{t: t, bench: bench, peer: bench.B, children: map[wire.ESPSPI]ike.Update{}}
	ns, own, remote := bench.NSA, bench.OuterA, bench.OuterB
	if !initiator {
		e.peer, ns, own, remote = bench.A, bench.NSB, bench.OuterB, bench.OuterA
	}
	conn.Local, conn.Remote = netip.MustParseAddr(own), netip.MustParseAddr(remote)
	endpoint := ike.NewEndpoint(ike.Settings{Retransmit: ike.Retransmission{Timeout: 500 * time.Millisecond},
		RetryDelay: 300 * time.Millisecond})
	if err := endpoint.Add(conn); err != nil {
		t.Fatal(err)
	}
	plain, err := ns.ListenUDP(netip.AddrPortFrom(conn.Local, 500).String())
	if err != nil {
		t.Fatal(err)
	}
	natt, err := ns.ListenUDP(netip.AddrPortFrom(conn.Local, 4500).String())
	if err != nil {
		t.Fatal(err)
	}
	e.pump, err = link.NewPump(endpoint, plain, natt, e.take, nil)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.pump.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			e.mu.Lock()
			defer e.mu.Unlock()
			t.Logf("our errors: %s", strings.Join(e.errs, "; "))
			for i := range e.events {
				if s := e.events[i].Step; s != nil {
					t.Logf("%s: %s", s.Kind, s.Text)
				}
			}
			if log, err := os.ReadFile(e.peer.LogPath()); err == nil {
				t.Logf("the peer's log:\n%s", log)
			}
		}
	})
	return e
}

// noPeer skips a test without a real peer, which CI may not.
func noPeer(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "true" && (errors.Is(err, lab.ErrNotRoot) || errors.Is(err, lab.ErrMissing)) {
		t.Skipf("no real peer: %v", err)
	}
	t.Fatalf("no real peer: %v", err)
}

func id(t *testing.T, s string) wire.ID {
	t.Helper()
	id, err := auth.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func proposals(t *testing.T, p wire.ProtocolID, texts ...string) [][]wire.Transform {
	t.Helper()
	ps, err := ike.ParseProposals(p, texts...)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func selector(s string) []wire.TrafficSelector {
	return []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix(s))}
}

// take keeps the output of the engine's steps.
func (e *end) take(o ike.Output) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, u := range o.Updates {
		switch u.Kind {
		case ike.Install:
			e.children[u.SPIs.In] = u
		case ike.Remove:
			delete(e.children, u.SPIs.In)
		}
	}
	e.events = append(e.events, o.Events...)
	if o.Err != nil {
		e.errs = append(e.errs, o.Err.Error())
	}
}

// spis gives the inbound SPIs of our children.
func (e *end) spis() []wire.ESPSPI {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.children))
}

// do runs f with the engine.
func (e *end) do(f func(now time.Time, p *ike.Endpoint) ike.Output) {
	e.t.Helper()
	if err := e.pump.Do(e.t.Context(), f); err != nil {
		e.t.Fatal(err)
	}
}

// state gives the IKE SAs that stand with us.
func (e *end) state() []*engine.IKESA {
	var list []*engine.IKESA
	e.do(func(_ time.Time, p *ike.Endpoint) ike.Output {
		for _, s := range p.SAs() {
			if s.State() == engine.IKEEstablished {
				list = append(list, s.Model())
			}
		}
		return ike.Output{}
	})
	return list
}

// command gives a command to the one IKE SA that stands.
func (e *end) command(c ike.Command) {
	e.t.Helper()
	found := false
	e.do(func(now time.Time, p *ike.Endpoint) ike.Output {
		for _, s := range p.SAs() {
			if s.State() == engine.IKEEstablished {
				found = true
				return p.Command(now, s, c)
			}
		}
		return ike.Output{}
	})
	if !found {
		e.t.Fatalf("no IKE SA stands for %T", c)
	}
}

// until waits for something to become true.
func (e *end) until(what string, ok func() bool) {
	e.t.Helper()
	if err := lab.Eventually(e.t.Context(), 15*time.Second, what, ok); err != nil {
		e.t.Fatal(err)
	}
}

// swanctl runs a command on the peer.
func (e *end) swanctl(args ...string) string {
	e.t.Helper()
	text, err := e.peer.Swanctl(e.t.Context(), args...)
	if err != nil {
		e.t.Fatalf("swanctl %v: %v", args, err)
	}
	return text
}

// agree waits until both sides have the same IKE SA and the same one child.
func (e *end) agree() {
	e.t.Helper()
	e.until("both sides to have the same IKE SA and child", func() bool {
		sas := e.state()
		if len(sas) != 1 || len(sas[0].Children) != 1 {
			return false
		}
		c := sas[0].Children[0]
		in, _ := c.SPIIn.Get()
		out, _ := c.SPIOut.Get()
		text := e.swanctl("--list-sas")
		return strings.Contains(text, sas[0].InitiatorSPI.String()) && strings.Contains(text, sas[0].ResponderSPI.String()) &&
			strings.Contains(text, in.String()) && strings.Contains(text, out.String()) &&
			strings.Count(text, "INSTALLED") == 1 && strings.Count(text, "ESTABLISHED") == 1
	})
}

// up brings the tunnel up from our side or the peer's.
func (e *end) up(initiator bool) {
	e.t.Helper()
	if initiator {
		e.do(func(now time.Time, p *ike.Endpoint) ike.Output {
			_, out, err := p.Initiate(now, "gw", netip.Addr{})
			if err != nil {
				e.t.Errorf("initiate: %v", err)
			}
			return out
		})
	} else {
		e.swanctl("--initiate", "--child", "net")
	}
	e.agree()
}

const (
	suiteIKE = "aes256gcm16-prfsha256-ecp256"
	suiteESP = "aes256gcm16-ecp256"
)

func TestLifeWithStrongSwanInBothRoles(t *testing.T) {
	for _, initiator := range []bool{true, false} {
		t.Run(map[bool]string{true: "as initiator", false: "as responder"}[initiator], func(t *testing.T) {
			t.Parallel()
			e := strongSwan(t, initiator, suiteIKE, suiteESP, nil)
			e.up(initiator)

			t.Log("liveness check")
			e.command(ike.Probe{})
			e.until("the answer to a liveness check", func() bool {
				sas := e.state()
				return len(sas) == 1 && sas[0].DPD.Answered == 1
			})

			t.Log("our rekeying of the child")
			old := e.spis()[0]
			e.command(ike.RekeyChild{SPI: old})
			e.until("our rekeying of the child", func() bool { s := e.spis(); return len(s) == 1 && s[0] != old })
			e.agree()

			t.Log("the peer's rekeying of the child")
			old = e.spis()[0]
			e.swanctl("--rekey", "--child", "net")
			e.until("the peer's rekeying of the child", func() bool { s := e.spis(); return len(s) == 1 && s[0] != old })
			e.agree()

			t.Log("our rekeying of the IKE SA")
			spi := e.state()[0].InitiatorSPI
			e.command(ike.RekeyIKE{})
			e.until("our rekeying of the IKE SA", func() bool { s := e.state(); return len(s) == 1 && s[0].InitiatorSPI != spi })
			e.agree()

			t.Log("the peer's rekeying of the IKE SA")
			spi = e.state()[0].InitiatorSPI
			e.swanctl("--rekey", "--ike", "gw")
			e.until("the peer's rekeying of the IKE SA", func() bool { s := e.state(); return len(s) == 1 && s[0].InitiatorSPI != spi })
			e.agree()

			t.Log("both rekey the child at once")
			old = e.spis()[0]
			done := make(chan struct{})
			go func() {
				defer close(done)
				if _, err := e.peer.Swanctl(t.Context(), "--rekey", "--child", "net"); err != nil {
					t.Errorf("rekey: %v", err)
				}
			}()
			e.command(ike.RekeyChild{SPI: old})
			<-done
			e.until("the collision to end", func() bool { s := e.spis(); return len(s) == 1 && s[0] != old })
			e.agree()

			t.Log("our deletion of the child, and a new one")
			e.command(ike.DeleteChild{SPI: e.spis()[0]})
			e.until("our deletion of the child", func() bool {
				return len(e.spis()) == 0 && !strings.Contains(e.swanctl("--list-sas"), "INSTALLED")
			})
			e.command(ike.AddChild{Name: "net"})
			e.agree()

			t.Log("the peer's deletion of the child, and a new one of the peer's")
			e.swanctl("--terminate", "--child", "net")
			e.until("the peer's deletion of the child", func() bool { return len(e.spis()) == 0 })
			e.swanctl("--initiate", "--child", "net")
			e.agree()

			t.Log("our deletion of the IKE SA")
			e.command(ike.DeleteIKE{})
			e.until("our deletion of the IKE SA", func() bool {
				return len(e.state()) == 0 && !strings.Contains(e.swanctl("--list-sas"), "ESTABLISHED")
			})
			e.up(initiator)

			t.Log("the peer's deletion of the IKE SA")
			e.swanctl("--terminate", "--ike", "gw")
			e.until("the peer's deletion of the IKE SA", func() bool { return len(e.state()) == 0 && len(e.spis()) == 0 })
			for _, err := range e.errs {
				if !strings.Contains(err, "TEMPORARY_FAILURE") { // of the collision, where one came late
					t.Errorf("an error of ours: %s", err)
				}
			}
		})
	}
}
