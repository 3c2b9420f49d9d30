package interop_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// peerDeletes has the peer delete a child, or with "" the IKE SA.
func (tn *tunnel) peerDeletes(child string) {
	tn.t.Helper()
	target := backend.Target{IKE: tn.name}
	if child != "" {
		target = backend.Target{IKE: tn.name, Child: child}
	}
	if err := tn.client.Down(tn.t.Context(), target, backend.DownOptions{}, nil); err != nil {
		tn.t.Fatalf("the peer: %v", err)
	}
}

// atOnce has the peer begin a rekeying and us the same one before we have seen
// the peer's request.
func (tn *tunnel) atOnce(child string, c ike.Command) {
	tn.t.Helper()
	target := backend.Target{IKE: tn.name, Child: child}
	tn.do(tn.t, func(now time.Time, p *ike.Endpoint) ike.Output {
		// While this runs, nothing of the peer's is taken.
		if _, err := tn.client.Rekey(tn.t.Context(), target, backend.RekeyOptions{}); err != nil {
			tn.t.Errorf("the peer: %v", err)
			return ike.Output{}
		}
		if err := lab.Eventually(tn.t.Context(), patience, "the peer's request to be sent", func() bool {
			return tn.logged("CREATE_CHILD_SA request")
		}); err != nil {
			tn.t.Error(err)
		}
		for _, s := range p.SAs() {
			if s.Connection() == tn.conn {
				return p.Command(now, s, c)
			}
		}
		return ike.Output{}
	})
	if tn.t.Failed() {
		tn.t.FailNow()
	}
}

func TestInteropRekeyingWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	for _, who := range interop.Roles() {
		by := map[interop.Role]string{interop.Initiator: "by us", interop.Responder: "by the peer"}[who]
		r.eachRole(t, "rekeying: child SA "+by, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("three times, with PFS")
			tn := r.tunnel(t, role, settings{})
			tn.up()
			for range 3 {
				tn.rekeyChild(who)
			}
		})
		r.eachRole(t, "rekeying: child SA without PFS "+by, func(t *testing.T, role interop.Role, e *interop.Entry) {
			tn := r.tunnel(t, role, settings{esp: "aes256gcm16"})
			tn.up()
			tn.rekeyChild(who)
		})
		r.eachRole(t, "rekeying: IKE SA "+by, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("three times; the child moves, and can be rekeyed after it")
			tn := r.tunnel(t, role, settings{})
			tn.up()
			for range 3 {
				tn.rekeyIKE(who)
			}
			tn.rekeyChild(who)
		})
	}
	r.eachRole(t, "rekeying: child SA by both at once", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("either has sent its request before it sees the other's")
		tn := r.tunnel(t, role, settings{})
		tn.up()
		old := tn.spis()[0]
		tn.atOnce("net", ike.RekeyChild{SPI: old})
		tn.until("the collision to end", func() bool { s := tn.spis(); return len(s) == 1 && s[0] != old })
		tn.agree(1)
		tn.collided()
		tn.probe()
	})
	r.eachRole(t, "rekeying: IKE SA by both at once", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("either has sent its request before it sees the other's")
		tn := r.tunnel(t, role, settings{})
		tn.up()
		old := tn.ours()[0]
		tn.atOnce("", ike.RekeyIKE{})
		tn.until("the collision to end", func() bool {
			s := tn.ours()
			return len(s) == 1 && s[0].InitiatorSPI != old.InitiatorSPI
		})
		tn.agree(1)
		tn.collided()
		tn.probe()
		tn.rekeyChild(interop.Initiator)
	})
	if interop.Full() { // charon tries again after ten seconds and more
		r.ikeAgainstChild(t)
	}
	r.eachRole(t, "rekeying: the peer rekeys the child while we delete it", func(t *testing.T, role interop.Role, e *interop.Entry) {
		tn := r.tunnel(t, role, settings{})
		tn.up()
		tn.atOnce("net", ike.DeleteChild{SPI: tn.spis()[0]})
		tn.until("the child to be gone", func() bool { return len(tn.spis()) == 0 })
		tn.agree(0)
		tn.probe()
	})
}

// ikeAgainstChild has the peer rekey the IKE SA while we rekey the child.
func (r *rig) ikeAgainstChild(t *testing.T) {
	r.eachRole(t, "rekeying: the peer rekeys the IKE SA while we rekey the child", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("TEMPORARY_FAILURE, then again")
		tn := r.tunnel(t, role, settings{})
		tn.up()
		old, spi := tn.ours()[0], tn.spis()[0]
		tn.atOnce("", ike.RekeyChild{SPI: spi})
		tn.until("both rekeyings to end", func() bool {
			s, c := tn.ours(), tn.spis()
			return len(s) == 1 && s[0].InitiatorSPI != old.InitiatorSPI && len(c) == 1 && c[0] != spi
		})
		tn.agree(1)
	})
}

// collided proves that our side saw both rekeyings meet.
func (tn *tunnel) collided() {
	tn.t.Helper()
	if !tn.stepped("collision") {
		tn.t.Error("our side saw no collision")
	}
}

func TestInteropDeletesWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	r.eachRole(t, "delete: child SA by us, and a new one", func(t *testing.T, role interop.Role, e *interop.Entry) {
		tn := r.tunnel(t, role, settings{})
		tn.up()
		tn.command(ike.DeleteChild{SPI: tn.spis()[0]})
		tn.agree(0)
		tn.command(ike.AddChild{Name: "net"})
		tn.agree(1)
	})
	r.eachRole(t, "delete: child SA by the peer, and a new one", func(t *testing.T, role interop.Role, e *interop.Entry) {
		tn := r.tunnel(t, role, settings{})
		tn.up()
		tn.peerDeletes("net")
		tn.agree(0)
		tn.peerUp("net")
		tn.agree(1)
	})
	r.eachRole(t, "delete: IKE SA by us, and a new one", func(t *testing.T, role interop.Role, e *interop.Entry) {
		tn := r.tunnel(t, role, settings{})
		tn.up()
		tn.command(ike.DeleteIKE{})
		tn.gone()
		tn.up()
	})
	r.eachRole(t, "delete: IKE SA by the peer, and a new one", func(t *testing.T, role interop.Role, e *interop.Entry) {
		tn := r.tunnel(t, role, settings{})
		tn.up()
		tn.peerDeletes("")
		tn.gone()
		tn.up()
	})
}

func TestInteropSeveralChildrenWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	r.eachRole(t, "child SAs: four of one IKE SA", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("they move when the IKE SA is rekeyed; one is deleted, the others stay")
		more := []string{"second", "third", "fourth"}
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			for n, name := range more {
				ours, peers := []string{"10.1.1.0/24", "10.1.2.0/24", "10.1.3.0/24"}[n], []string{"10.2.1.0/24", "10.2.2.0/24", "10.2.3.0/24"}[n]
				conn.Children = append(conn.Children, &ike.ChildConfig{Name: name, Proposals: proposals(t, wire.ProtocolESP, suiteESP),
					LocalTS: prefixes(ours), RemoteTS: prefixes(peers)})
				c := theirs.Sub("children").Sub(name)
				c.SetList("esp_proposals", suiteESP)
				c.SetList("local_ts", peers)
				c.SetList("remote_ts", ours)
			}
		}})
		tn.initiate()
		if role == interop.Responder {
			for _, name := range more {
				tn.peerUp(name)
			}
		}
		tn.agree(4)
		tn.rekeyIKE(interop.Initiator)
		tn.rekeyIKE(interop.Responder)
		tn.peerDeletes("third")
		tn.agree(3)
		tn.command(ike.DeleteChild{SPI: tn.spis()[0]})
		tn.agree(2)
	})
}

func TestInteropLivenessWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	r.eachRole(t, "liveness: our check is answered", func(t *testing.T, role interop.Role, e *interop.Entry) {
		tn := r.tunnel(t, role, settings{})
		tn.up()
		tn.probe()
	})
	r.eachRole(t, "liveness: the peer's check is answered", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("dpd_delay of one second")
		tn := r.tunnel(t, role, settings{change: func(_ *ike.Connection, theirs *backend.Section) {
			theirs.Set("dpd_delay", "1s")
		}})
		tn.up()
		tn.until("the peer's check", func() bool {
			return tn.logged("sending DPD request") && tn.logged("parsed INFORMATIONAL response")
		})
		tn.agree(1)
	})
	for _, role := range interop.Roles() {
		// The daemon is lost with it: a ground of its own for each.
		r := newRig(t, ground{settings: ike.Settings{Retransmit: ike.Retransmission{Timeout: 400 * time.Millisecond, Base: 1.5, Tries: 4}}})
		r.as(t, role, "liveness: the peer is killed", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("our checks go unanswered: the IKE SA ends, its child is removed and begun anew")
			tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, _ *backend.Section) {
				conn.DPDDelay = 200 * time.Millisecond
				conn.Children[0].DPDAction = ike.ActionStart
				conn.Remote = r.remote
			}})
			tn.up()
			if err := r.daemon.Kill(); err != nil {
				t.Fatal(err)
			}
			tn.until("our side to notice", func() bool { return len(tn.ours()) == 0 && tn.installed() == 0 })
			if !tn.stepped("give-up") {
				t.Error("our side does not say that it gave up")
			}
			if err := r.daemon.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := r.reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := r.client.LoadConnection(t.Context(), tn.name, tn.theirs); err != nil {
				t.Fatal(err)
			}
			if len(tn.ours()) == 0 {
				tn.role = interop.Initiator // the attempts may have ended before the peer was back
				tn.initiate()
			}
			tn.agree(1)
		})
	}
}

func TestInteropRestartedPeerWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	r.as(t, interop.Responder, "liveness: the peer restarts and begins anew", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("INITIAL_CONTACT: the old IKE SA goes at once")
		tn := r.tunnel(t, role, settings{})
		old, _ := tn.up()
		if err := r.daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := r.daemon.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.client.LoadConnection(t.Context(), tn.name, tn.theirs); err != nil {
			t.Fatal(err)
		}
		again, _ := tn.up()
		if again.InitiatorSPI == old.InitiatorSPI || tn.installed() != 1 {
			t.Errorf("SPI %s after %s, %d children installed", again.InitiatorSPI, old.InitiatorSPI, tn.installed())
		}
	})
}

func TestInteropLifetimesWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	for _, role := range interop.Roles() {
		if role == interop.Responder && !interop.Full() {
			continue // both roles take seconds
		}
		r.as(t, role, "rekeying: by the lifetimes of both sides", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("each side replaces IKE SA and child every second or two, for a while, by timers of its own")
			tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
				conn.Lifetime = ike.Lifetime{Rekey: 1500 * time.Millisecond, Over: time.Minute}
				conn.Children[0].Lifetime = ike.Lifetime{Rekey: time.Second, Over: time.Minute}
				theirs.Set("rekey_time", "2s")
				theirs.Set("over_time", "60s")
				theirs.Set("rand_time", "1s")
				net := theirs.Sub("children").Sub("net")
				net.Set("rekey_time", "2s")
				net.Set("life_time", "60s")
				net.Set("rand_time", "1s")
			}})
			tn.initiate()
			ikes, children := map[wire.SPI]bool{}, map[wire.ESPSPI]bool{}
			tn.until("four IKE SAs and four children, one after another", func() bool {
				for _, s := range tn.ours() {
					ikes[s.InitiatorSPI] = true
					for _, c := range s.Children {
						children[c.SPIIn.Or(0)] = true
					}
				}
				return len(ikes) >= 4 && len(children) >= 4
			})
			tn.until("both sides to have one IKE SA with one child", func() bool {
				o, p := tn.ours(), tn.peers()
				return len(o) == 1 && len(p) == 1 && differs(o[0], p[0], 1) == ""
			})
		})
	}
}
