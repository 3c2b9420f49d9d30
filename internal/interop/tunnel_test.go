package interop_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// tunnel is one connection that both sides have, and what comes of it.
type tunnel struct {
	*rig
	ourEnd
	role   interop.Role // ours
	name   string
	theirs *backend.Section
	logAt  int64 // where the daemon's log stood at the beginning
}

// settings of a tunnel: proposals of both sides, and what a test changes.
type settings struct {
	ike, esp string // "" for the suites above
	// change may alter both sides before they are loaded.
	change func(conn *ike.Connection, theirs *backend.Section)
}

// tunnel gives both sides a connection; it goes when the test ends, with all
// that came of it.
func (r *rig) tunnel(t *testing.T, role interop.Role, s settings) *tunnel {
	t.Helper()
	if s.ike == "" {
		s.ike = suiteIKE
	}
	if s.esp == "" {
		s.esp = suiteESP
	}
	r.tunnels++
	name, ours, peer := fmt.Sprintf("t%d", r.tunnels), fmt.Sprintf("ours-%d.lab", r.tunnels), fmt.Sprintf("peer-%d.lab", r.tunnels)
	conn := r.connection(t, role, name, ours, peer, "10.1.0.1/32", "10.2.0.1/32")
	conn.Proposals, conn.Children[0].Proposals = proposals(t, wire.ProtocolIKE, s.ike), proposals(t, wire.ProtocolESP, s.esp)
	tn := &tunnel{rig: r, ourEnd: ourEnd{at: r.station, t: t, conn: conn}, role: role, name: name}
	tn.theirs = &backend.Section{}
	tn.theirs.Set("version", "2")
	if role == interop.Responder {
		tn.theirs.SetList("remote_addrs", r.peerSees.String())
	}
	tn.theirs.SetList("proposals", s.ike)
	local, remote := tn.theirs.Sub("local"), tn.theirs.Sub("remote")
	local.Set("auth", "psk")
	local.Set("id", peer)
	remote.Set("auth", "psk")
	remote.Set("id", ours)
	net := tn.child("net")
	net.SetList("esp_proposals", s.esp)
	net.SetList("local_ts", "10.2.0.1/32")
	net.SetList("remote_ts", "10.1.0.1/32")
	if s.change != nil {
		s.change(tn.conn, tn.theirs)
	}
	if info, err := os.Stat(r.daemon.LogPath()); err == nil {
		tn.logAt = info.Size()
	}
	t.Cleanup(tn.close)
	tn.add()
	if err := r.client.LoadConnection(t.Context(), tn.name, tn.theirs); err != nil {
		t.Fatal(err)
	}
	return tn
}

// child gives the peer's settings of a child.
func (tn *tunnel) child(name string) *backend.Section { return tn.theirs.Sub("children").Sub(name) }

// close takes the connection and its SAs from both sides, and shows what was
// seen where the test has failed.
func (tn *tunnel) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if tn.t.Failed() {
		tn.show()
	}
	if err := tn.client.UnloadConnection(ctx, tn.name); err != nil {
		tn.t.Error(err)
	}
	tn.drop(ctx)
	empty := func() bool {
		list, err := tn.client.SAs(ctx, backend.Filter{IKE: tn.name})
		return err == nil && len(list) == 0
	}
	if lab.Eventually(ctx, 2*time.Second, "the peer to forget", empty) == nil {
		return
	}
	// What we do not know of, or the peer does not hear.
	err := tn.client.Down(ctx, backend.Target{IKE: tn.name}, backend.DownOptions{Force: true, NoWait: true}, nil)
	if err != nil && !errors.Is(err, backend.ErrRefused) {
		tn.t.Error(err)
	}
}

// show logs what both sides saw.
func (tn *tunnel) show() {
	tn.ourEnd.show()
	if log, err := os.ReadFile(tn.daemon.LogPath()); err == nil {
		tn.t.Logf("the peer's log:\n%s", log[min(tn.logAt, int64(len(log))):])
	}
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

func prefixes(texts ...string) []wire.TrafficSelector {
	var list []wire.TrafficSelector
	for _, s := range texts {
		list = append(list, ike.PrefixSelector(netip.MustParsePrefix(s)))
	}
	return list
}

// initiate begins the tunnel from the side that is to begin it.
func (tn *tunnel) initiate() {
	tn.t.Helper()
	if tn.role == interop.Responder {
		tn.peerUp("net")
		return
	}
	tn.begin()
}

// peerUp has the peer bring a child up, or with "" the IKE SA alone.
func (tn *tunnel) peerUp(child string) {
	tn.t.Helper()
	if err := tn.client.Up(tn.t.Context(), backend.Target{IKE: tn.name, Child: child}, backend.UpOptions{}, nil); err != nil {
		tn.t.Fatalf("the peer: %v", err)
	}
}

// up brings the tunnel up and gives what both sides then have.
func (tn *tunnel) up() (ours, theirs *engine.IKESA) {
	tn.t.Helper()
	tn.initiate()
	return tn.agree(1)
}

// peers gives the peer's IKE SAs of the tunnel.
func (tn *tunnel) peers() []*engine.IKESA {
	tn.t.Helper()
	list, err := tn.client.SAs(tn.t.Context(), backend.Filter{IKE: tn.name})
	if err != nil {
		tn.t.Fatalf("the peer: %v", err)
	}
	return list
}

// agree waits until both sides have one and the same IKE SA with the same n
// children, whose SPIs and algorithms are the same, and gives it as both sides
// see it.
func (tn *tunnel) agree(n int) (ours, theirs *engine.IKESA) {
	tn.t.Helper()
	why := ""
	err := lab.Eventually(tn.t.Context(), patience, "both sides to have the same", func() bool {
		o, p := tn.ours(), tn.peers()
		if len(o) == 1 && len(p) == 1 {
			ours, theirs = o[0], p[0]
			why = differs(ours, theirs, n)
			return why == ""
		}
		why = fmt.Sprintf("%d IKE SAs here, %d at the peer", len(o), len(p))
		return false
	})
	if err != nil {
		tn.t.Fatalf("%v: %s", err, why)
	}
	return ours, theirs
}

// differs says in what two views of one IKE SA with n children differ, "" in
// nothing.
func differs(ours, theirs *engine.IKESA, n int) string {
	// charon keeps a child that is replaced and deleted for five seconds, for
	// packets that are still under way.
	theirs.Children = slices.DeleteFunc(theirs.Children, func(c *engine.ChildSA) bool { return c.State == engine.ChildDeleted })
	switch {
	case theirs.State != engine.IKEEstablished:
		return fmt.Sprintf("the peer's IKE SA is %s", theirs.State)
	case ours.InitiatorSPI != theirs.InitiatorSPI || ours.ResponderSPI != theirs.ResponderSPI:
		return fmt.Sprintf("SPIs %s %s here, %s %s at the peer", ours.InitiatorSPI, ours.ResponderSPI, theirs.InitiatorSPI, theirs.ResponderSPI)
	case ours.Suite.Keyword != theirs.Suite.Keyword:
		return fmt.Sprintf("IKE SA with %s here, %s at the peer", ours.Suite.Keyword, theirs.Suite.Keyword)
	case len(ours.Children) != n || len(theirs.Children) != n:
		return fmt.Sprintf("%d children here, %d at the peer, want %d", len(ours.Children), len(theirs.Children), n)
	}
	for _, c := range ours.Children {
		i := slices.IndexFunc(theirs.Children, func(o *engine.ChildSA) bool { return o.SPIIn == c.SPIOut && o.SPIOut == c.SPIIn })
		switch {
		case i < 0:
			return fmt.Sprintf("child %s, %s in, is not known to the peer", c.Name, c.SPIIn.Or(0))
		case theirs.Children[i].State != engine.ChildInstalled || c.State != engine.ChildInstalled:
			return fmt.Sprintf("child %s is %s here, %s at the peer", c.Name, c.State, theirs.Children[i].State)
		case theirs.Children[i].Suite.Keyword != c.Suite.Keyword:
			return fmt.Sprintf("child with %s here, %s at the peer", c.Suite.Keyword, theirs.Children[i].Suite.Keyword)
		}
	}
	return ""
}

// gone waits until neither side has anything of the tunnel.
func (tn *tunnel) gone() {
	tn.t.Helper()
	tn.until("both sides to have nothing left", func() bool { return len(tn.ours()) == 0 && len(tn.peers()) == 0 && tn.installed() == 0 })
}

// peerRekeys has the peer begin a rekeying, of a child where one is named.
func (tn *tunnel) peerRekeys(child string) {
	tn.t.Helper()
	target := backend.Target{IKE: tn.name}
	if child != "" {
		target = backend.Target{IKE: tn.name, Child: child}
	}
	if _, err := tn.client.Rekey(tn.t.Context(), target, backend.RekeyOptions{}); err != nil {
		tn.t.Fatalf("the peer: %v", err)
	}
}

// logged says whether the peer's log of this tunnel has a text.
func (tn *tunnel) logged(text string) bool {
	log, err := os.ReadFile(tn.daemon.LogPath())
	return err == nil && strings.Contains(string(log[min(tn.logAt, int64(len(log))):]), text)
}
