package interop_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// gatewayRig is our engine in a namespace beside a guest, in which a gateway
// runs. Any number of connections are tried on it, one after another.
type gatewayRig struct {
	*station
	rec     *interop.Recorder
	guest   *lab.Guest
	gateway lab.Gateway
	seen    string // our address as the gateway sees it
	down    bool   // the gateway was ended, and starts with its next connection
	pairs   int
}

// guestPatience is how long anything may take on the guest's kernel.
const guestPatience = 2 * time.Minute

// newSegment boots a guest and gives a namespace beside it.
func newSegment(t *testing.T) (*lab.Segment, *lab.NS) {
	t.Helper()
	lab.NeedGuests(t)
	segment, err := lab.NewSegment(t.Context(), "interop", t.TempDir())
	t.Cleanup(func() {
		if err := segment.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ns, err := segment.Neighbour(t.Context(), "ours", lab.NeighbourIPv4+"/24", lab.NeighbourIPv6+"/64")
	if err != nil {
		t.Fatal(err)
	}
	return segment, ns
}

// place is where our engine stands.
type place struct {
	ns            *lab.NS
	local, remote string
	seen          string // our address as the gateway sees it
}

// beside is on the guest's own segment.
func beside(ns *lab.NS) place {
	return place{ns: ns, local: lab.NeighbourIPv4, remote: lab.GuestIPv4, seen: lab.NeighbourIPv4}
}

// newGateway starts a daemon in a guest, which ends with the test.
func newGateway(t *testing.T, guest *lab.Guest, software lab.Software) lab.Gateway {
	t.Helper()
	gw, err := lab.NewGateway(t.Context(), guest, software)
	if err != nil {
		t.Fatal(err)
	}
	if err := gw.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), guestPatience)
		defer cancel()
		if err := gw.Kill(ctx); err != nil {
			t.Error(err)
		}
	})
	return gw
}

// recorder takes the rows of a gateway.
func recorder(t *testing.T, gw lab.Gateway) *interop.Recorder {
	name := string(gw.Software())
	if gw.Software() == lab.StrongSwan {
		name += " (kernel ESP)"
	}
	return interop.Open(t, name, gw.Version())
}

// newGatewayRig runs our engine, beside a gateway that runs, until the test
// ends.
func newGatewayRig(t *testing.T, guest *lab.Guest, gw lab.Gateway, at place, set ike.Settings) *gatewayRig {
	t.Helper()
	r := &gatewayRig{station: newStation(), rec: recorder(t, gw), guest: guest, gateway: gw, seen: at.seen}
	r.local, r.remote = netip.MustParseAddr(at.local), netip.MustParseAddr(at.remote)
	// Packets tell what the peer sent.
	set.Packets = true
	// The guest is slow to answer on a busy machine.
	set.Retransmit = ike.Retransmission{Timeout: time.Second, Base: 1.5, Tries: 5}
	r.start(t, at.ns, set)
	return r
}

// eachRole runs a test of a feature as initiator and as responder and records
// what came of it.
func (r *gatewayRig) eachRole(t *testing.T, feature string, f func(t *testing.T, role interop.Role, e *interop.Entry)) {
	for _, role := range interop.Roles() {
		r.as(t, role, feature, f)
	}
}

// as runs a test of a feature in one role.
func (r *gatewayRig) as(t *testing.T, role interop.Role, feature string, f func(t *testing.T, role interop.Role, e *interop.Entry)) {
	t.Run(feature+" as "+string(role), func(t *testing.T) { f(t, role, r.rec.Entry(t, role, feature)) })
}

// pairing is one connection as both sides are to have it.
type pairing struct {
	conn   *ike.Connection
	theirs lab.GatewayConnection
	// ignoresChains is what the gateway does with certificates of ours above
	// the first.
	ignoresChains bool
}

// pair is one connection that we and a gateway have, and what comes of it.
type pair struct {
	*gatewayRig
	ourEnd
	role   interop.Role // ours
	theirs lab.GatewayConnection
	logAt  int64 // where the gateway's log stood at the beginning
}

// suites gives the proposals of IKE SA and child that are tried where a row is
// not about them: OpenIKED's ESP on Linux has neither GCM nor SHA2-256.
func (r *gatewayRig) suites() (ikeText, espText string) {
	if r.gateway.Software() == lab.OpenIKED {
		return suiteIKE, "aes256-sha512-ecp256"
	}
	return suiteIKE, suiteESP
}

// pair gives both sides a connection; it goes when the test ends, with all that
// came of it. change may alter both sides before they are loaded.
func (r *gatewayRig) pair(t *testing.T, role interop.Role, change func(*pairing)) *pair {
	t.Helper()
	r.pairs++
	name, ours, peer := fmt.Sprintf("p%d", r.pairs), fmt.Sprintf("ours-%d.lab", r.pairs), fmt.Sprintf("peer-%d.lab", r.pairs)
	ikeText, espText := r.suites()
	both := &pairing{ignoresChains: r.ignoresChains(), conn: r.connection(t, role, name, ours, peer, "10.1.0.0/24", "10.2.0.0/24"),
		theirs: lab.GatewayConnection{Name: name, Local: r.remote.String(), Remote: r.seen, LocalID: peer, RemoteID: ours, PSK: secret,
			LocalTS: []string{"10.2.0.0/24"}, RemoteTS: []string{"10.1.0.0/24"}, IKE: []string{ikeText}, ESP: []string{espText}}}
	if change != nil {
		change(both)
	}
	p := &pair{gatewayRig: r, ourEnd: ourEnd{at: r.station, t: t, conn: both.conn}, role: role, theirs: both.theirs}
	// What the row does not say is as the gateway's.
	if p.conn.Proposals == nil {
		p.conn.Proposals = proposals(t, wire.ProtocolIKE, p.theirs.IKE...)
	}
	for _, c := range p.conn.Children {
		if c.Proposals == nil {
			c.Proposals = proposals(t, wire.ProtocolESP, p.theirs.ESP...)
		}
	}
	if info, err := os.Stat(r.gateway.Log()); err == nil {
		p.logAt = info.Size()
	}
	t.Cleanup(p.close)
	p.add()
	if !p.beginsWhenLoaded() {
		p.load()
	}
	return p
}

// load gives the gateway its side of the connection.
func (p *pair) load() {
	p.t.Helper()
	p.must(p.gateway.Load(p.t.Context(), p.theirs))
	if p.down {
		p.must(p.gateway.Start(p.t.Context()))
		p.down = false
	}
}

// close takes the connection and its SAs from both sides, and shows what was
// seen where the test has failed.
func (p *pair) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), guestPatience)
	defer cancel()
	if p.t.Failed() {
		p.show(ctx)
	}
	p.drop(ctx)
	mine := func() bool {
		left := true
		err := p.pump.Do(ctx, func(_ time.Time, e *ike.Endpoint) ike.Output {
			// One that has ended lingers, to answer what is repeated.
			left = slices.ContainsFunc(e.SAs(), func(s *ike.SA) bool { return s.Connection() == p.conn && s.Why() == "" })
			return ike.Output{}
		})
		return err == nil && !left
	}
	defer func() {
		// Whatever became of the tunnel, nothing of it may stay installed.
		if err := lab.Eventually(ctx, guestPatience, "our side to end", mine); err != nil {
			p.t.Error(err)
		}
		if n := p.installed(); n != 0 {
			p.t.Errorf("%d children are installed though no IKE SA stands", n)
		}
	}()
	if p.beginsWhenLoaded() {
		// It would begin again and again.
		if err := p.gateway.Kill(ctx); err != nil {
			p.t.Error(err)
		}
		p.down = true
		return
	}
	if lab.Eventually(ctx, 3*time.Second, "the peer to forget", func() bool { return p.forgotten(ctx) }) == nil {
		return
	}
	// What we do not know of, or the peer does not hear: start it anew.
	if err := p.gateway.Kill(ctx); err != nil {
		p.t.Error(err)
	}
	if err := p.gateway.Start(ctx); err != nil {
		p.t.Error(err)
	}
}

// show logs what both sides saw.
func (p *pair) show(ctx context.Context) {
	p.ourEnd.show()
	status, err := p.gateway.Status(ctx)
	p.t.Logf("the peer's status: %s (%v)", status, err)
	if log, err := os.ReadFile(p.gateway.Log()); err == nil {
		p.t.Logf("the peer's log:\n%s", log[min(p.logAt, int64(len(log))):])
	}
}

// must ends the test where an order to the gateway failed.
func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("the peer: %v", err)
	}
}

// beginsWhenLoaded says that the gateway begins by itself, when its connections
// are loaded: OpenIKED has no order for it, and is started anew for each.
func (p *pair) beginsWhenLoaded() bool {
	return p.role == interop.Responder && p.gateway.Software() == lab.OpenIKED
}

// initiate begins the tunnel from the side that is to begin it.
func (p *pair) initiate() {
	p.t.Helper()
	if p.beginsWhenLoaded() {
		p.theirs.Start = true
		p.load()
		return
	}
	if p.role == interop.Responder {
		p.must(p.gateway.Initiate(p.t.Context(), p.theirs.Name))
		return
	}
	p.begin()
}

// up brings the tunnel up and gives our IKE SA.
func (p *pair) up() *engine.IKESA {
	p.t.Helper()
	p.initiate()
	return p.agree(1)
}

// agree waits until both sides have one IKE SA with the same n children, whose
// SPIs and keys are the same here and in the guest's kernel.
func (p *pair) agree(n int) *engine.IKESA {
	p.t.Helper()
	why := ""
	var ours []*engine.IKESA
	err := lab.Eventually(p.t.Context(), guestPatience, "both sides to have the same", func() bool {
		if ours = p.ours(); len(ours) != 1 {
			why = fmt.Sprintf("%d IKE SAs here", len(ours))
			return false
		}
		// The kernel is quick to ask; the daemons' own programs are not.
		states, err := p.kernel(p.t.Context())
		if err != nil {
			why = err.Error()
			return false
		}
		if why = p.differs(ours[0], states, n); why != "" {
			return false
		}
		peers, err := p.gateway.Established(p.t.Context(), p.theirs.Name)
		if err != nil || peers != 1 {
			why = fmt.Sprintf("%d IKE SAs at the peer (error: %v)", peers, err)
			return false
		}
		return true
	})
	if err != nil {
		p.t.Fatalf("%v: %s", err, why)
	}
	return ours[0]
}

// forgotten says that the gateway has nothing of the tunnel.
func (p *pair) forgotten(ctx context.Context) bool {
	states, err := p.kernel(ctx)
	if err != nil || len(states) != 0 {
		return false
	}
	n, err := p.gateway.Established(ctx, p.theirs.Name)
	return err == nil && n == 0
}

// gone waits until neither side has anything of the tunnel.
func (p *pair) gone() {
	p.t.Helper()
	p.until("both sides to have nothing left", func() bool {
		return len(p.ours()) == 0 && p.installed() == 0 && p.forgotten(p.t.Context())
	})
}

// asked counts the requests of an exchange that the peer sent; ok chooses
// among them, nil takes all.
func (p *pair) asked(exchange wire.ExchangeType, ok func(*event.IKE) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := map[string]bool{}
	for i := range p.events {
		k := p.events[i].Packet
		if k == nil || k.IKE == nil || k.IKE.Message == nil || k.Dst != p.local {
			continue
		}
		m := k.IKE.Message
		if m.Exchange == exchange && !m.Response() && k.IKE.Decrypted && (ok == nil || ok(k.IKE)) {
			ids[fmt.Sprint(m.InitiatorSPI, m.MessageID)] = true
		}
	}
	return len(ids)
}
