package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// defaultGrace is how long Close waits for the peers' answers.
const defaultGrace = 2 * time.Second

// Options says what an engine runs and where. Policy must be set.
type Options struct {
	Policy *policy.Policy
	// Local is the address to speak from; not set, it is the one that the
	// policy names, or the one that the system takes towards the first peer.
	Local netip.Addr
	// Ports are our own, 0 for 500 and 4500; PeerNATT is the peers' port for
	// IKE and ESP behind a NAT, 0 for 4500.
	Ports    ike.Ports
	PeerNATT uint16
	// Listen opens a UDP socket; nil for the system's.
	Listen func(netip.AddrPort) (*net.UDPConn, error)
	Plane  DataPlane // nil for a Counter
	// Keys is told all keys; nil, as it should be unless the operator asks,
	// for nobody.
	Keys KeyLog
	// Settings of the endpoint; its ports are those of the sockets.
	Settings ike.Settings
	// Grace is how long Close waits for the peers' answers: 2 s.
	Grace time.Duration
	// Patience is how long a child that is to be up rests after an attempt that
	// failed, before the next: 5 s. It doubles up to twelve times that.
	Patience time.Duration
	// Version is what Version tells.
	Version string
	// Elsewhere are connections that the engine does not run. Their preshared
	// keys, where they can be read, tell a peer that was given the wrong one.
	Elsewhere []policy.Connection
	// Variants are further connections, to call with; see there.
	Variants []Variant
	// Watched says that the first who asks for Events misses nothing: what is to
	// start waits for that reader, and what peers begin before is told to it
	// first, the newest 8192 events.
	Watched bool
}

// Engine runs the tunnels of one policy. It is a backend.Backend.
type Engine struct {
	options Options
	began   time.Time
	local   netip.AddrPort // of the socket for plain IKE
	plane   DataPlane
	pump    *link.Pump
	history backend.History
	store   store
	// authorities are those of the policy.
	authorities []engine.Authority

	mu    sync.Mutex
	conns []*configured // changed on the pump's goroutine only

	reported  chan report // by the data plane
	acquiring sync.Map    // backend.Target of children that traffic has asked for
	wishes    wishes

	run     context.Context // ends when the engine does
	stop    context.CancelFunc
	ended   chan struct{} // closed when the pump has ended
	failure error         // of the pump; read after ended
	work    sync.WaitGroup
	closing sync.Once
	closed  error

	// Of the pump's goroutine.
	endpoint    *ike.Endpoint
	ids         ids
	waiters     map[*waiter]struct{}
	subscribers map[*subscriber]struct{}
	memory      memory
	first       *subscriber // until the first reader takes its place; nil for none
	watched     sync.Once
	starting    []*ike.Connection // what waits for the first subscriber
	keys        *keys
	counts      counts
	seen        *ike.Datagram // what this step took, nil for none
	leaving     bool
}

// Start makes an engine for a policy, opens its sockets, and begins what is to
// start at once. The context is for the start only: Close ends the engine.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if o.Policy == nil {
		return nil, errors.New("the engine has no policy")
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Plane == nil {
		o.Plane = &Counter{}
	}
	if o.Ports.IKE == 0 {
		o.Ports.IKE = wire.PortIKE
	}
	if o.Ports.NATT == 0 {
		o.Ports.NATT = wire.PortNATT
	}
	if o.Listen == nil {
		o.Listen = func(a netip.AddrPort) (*net.UDPConn, error) {
			return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
		}
	}
	local, err := o.localAddress(ctx)
	if err != nil {
		return nil, err
	}
	e := &Engine{options: o, began: time.Now(), plane: o.Plane, ended: make(chan struct{}), counts: counts{},
		ids: newIDs(), reported: make(chan report, maxReports), waiters: map[*waiter]struct{}{}, subscribers: map[*subscriber]struct{}{}}
	if o.Keys != nil {
		e.keys = &keys{log: o.Keys, known: map[wire.SPI]bool{}}
	}
	var conns []*ike.Connection
	for i := range o.Policy.Connections {
		from := &o.Policy.Connections[i]
		if err := o.supported(from); err != nil {
			return nil, err // before its files are read
		}
		m, err := materialOf(ctx, o.Policy, from)
		if err != nil {
			return nil, fmt.Errorf("connection %s: %w", from.Name, err)
		}
		c, err := e.options.convert(ctx, from, m, local, &e.store)
		if err != nil {
			return nil, err
		}
		conns = append(conns, c.Connection)
		e.conns = append(e.conns, c)
	}
	e.knowMixUps(ctx)
	more, err := e.addVariants(ctx, local)
	if err != nil {
		return nil, err
	}
	conns = append(conns, more...)
	if e.authorities, err = authoritiesOf(o.Policy); err != nil {
		return nil, err
	}
	if err := e.open(local, conns); err != nil {
		return nil, err
	}
	if o.Watched {
		e.first = newSubscriber(defaultBuffer)
		e.subscribers[e.first] = struct{}{}
	}
	e.work.Go(e.obey)
	e.work.Go(func() {
		e.failure = e.pump.Run(e.run)
		close(e.ended)
		e.stop()
	})
	e.starting = conns
	if !o.Watched {
		e.startAll()
	}
	return e, nil
}

// open opens the sockets and makes the pump.
func (e *Engine) open(local netip.Addr, conns []*ike.Connection) error {
	o := &e.options
	plain, err := o.Listen(netip.AddrPortFrom(local, o.Ports.IKE))
	if err != nil {
		return fmt.Errorf("socket for IKE: %w", err)
	}
	natt, err := o.Listen(netip.AddrPortFrom(local, o.Ports.NATT))
	if err != nil {
		return errors.Join(fmt.Errorf("socket for IKE behind NATs: %w", err), plain.Close())
	}
	e.local = plain.LocalAddr().(*net.UDPAddr).AddrPort()
	o.Settings.Ports = ike.Ports{IKE: e.local.Port(), NATT: natt.LocalAddr().(*net.UDPAddr).AddrPort().Port()}
	e.endpoint = ike.NewEndpoint(o.Settings)
	for _, c := range conns {
		err = errors.Join(err, e.endpoint.Add(c))
	}
	if err == nil {
		e.pump, err = link.NewPump(e.endpoint, plain, natt, e.take, e.plane.Receive)
	}
	if err == nil {
		e.pump.Seen = func(d *ike.Datagram) { e.seen = d }
		e.pump.Before = e.prepare
	}
	e.run, e.stop = context.WithCancel(context.Background())
	if err == nil {
		err = e.plane.Attach(link.Attachment{Local: local, IKE: plain, NATT: natt, Reports: reports{e}})
	}
	if err == nil {
		err = e.setTraps()
	}
	if err != nil {
		e.stop()
		return errors.Join(err, plain.Close(), natt.Close())
	}
	return nil
}

// startAll brings up what is to start, once.
func (e *Engine) startAll() {
	e.watched.Do(func() {
		for _, c := range e.starting {
			e.startChildren(c)
		}
	})
}

// startChildren brings up what a connection has to start.
func (e *Engine) startChildren(c *ike.Connection) {
	for _, ch := range c.Children {
		if ch.Wait {
			continue
		}
		e.persist(backend.Target{IKE: c.Name, Child: ch.Name}, 0)
	}
}

// LocalAddr is where the engine takes plain IKE.
func (e *Engine) LocalAddr() netip.AddrPort { return e.local }

// Own says whether an address and port are one of the engine's sockets.
func (e *Engine) Own(a netip.AddrPort) bool {
	p := e.options.Settings.Ports
	return a.Addr() == e.local.Addr() && (a.Port() == p.IKE || a.Port() == p.NATT)
}

// Source names the engine: "engine:192.0.2.1:500".
func (e *Engine) Source() string { return "engine:" + e.local.String() }

// State says whether the engine runs.
func (e *Engine) State() backend.State {
	select {
	case <-e.run.Done():
		return backend.State{Since: time.Now(), Err: fmt.Errorf("%w: the engine has ended", backend.ErrUnreachable)}
	default:
		return backend.State{Live: true, Since: time.Now()}
	}
}

// Wait gives a channel that is closed when the engine has ended.
func (e *Engine) Wait() <-chan struct{} { return e.ended }

// Close deletes all IKE SAs, waits for the peers' answers within the grace, and
// ends the engine. A second call gives the first one's outcome.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		ctx, cancel := context.WithTimeout(e.run, e.options.Grace)
		defer cancel()
		// That a peer does not answer in time is its own affair. An SA whose
		// authentication is under way may stand at the peer already, and can be
		// deleted only once the answer is here.
		answer, enough := context.WithTimeout(ctx, e.options.Grace/4)
		_ = e.await(answer, func(time.Time) ike.Output {
			e.leaving = true
			return ike.Output{}
		}, func(*ike.Output) (bool, error) { return !e.anyAuthenticating(), nil }, nil)
		enough()
		_ = e.await(ctx, e.deleteAll, func(*ike.Output) (bool, error) { return !e.anyAlive(), nil }, nil)
		e.stop()
		e.work.Wait()
		e.closed = errors.Join(e.failure, e.plane.Close())
	})
	return e.closed
}

// deleteAll begins the deletion of all IKE SAs.
func (e *Engine) deleteAll(now time.Time) ike.Output {
	var all ike.Output
	for _, s := range e.endpoint.SAs() {
		if !over(s) {
			merge(&all, e.endpoint.Command(now, s, ike.DeleteIKE{}))
		}
	}
	return all
}

func (e *Engine) anyAuthenticating() bool {
	for _, s := range e.endpoint.SAs() {
		if _, responder := s.SPIs(); s.Initiator() && s.State() == engine.IKEConnecting && responder != 0 {
			return true
		}
	}
	return false
}

func (e *Engine) anyAlive() bool {
	for _, s := range e.endpoint.SAs() {
		if !over(s) {
			return true
		}
	}
	return false
}

// over says whether an SA has ended; it may linger to repeat its answers.
func over(s *ike.SA) bool {
	switch s.State() {
	case engine.IKEDeleted, engine.IKEFailed, engine.IKEDestroying:
		return true
	}
	return false
}

// merge appends what came out of another step.
func merge(all *ike.Output, o ike.Output) {
	all.Datagrams = append(all.Datagrams, o.Datagrams...)
	all.Events = append(all.Events, o.Events...)
	all.Updates = append(all.Updates, o.Updates...)
	all.Again = append(all.Again, o.Again...)
	if all.Err == nil {
		all.Err = o.Err
	}
}

// do has something done on the engine's goroutine and waits for it.
func (e *Engine) do(ctx context.Context, f func(now time.Time) ike.Output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.run, cancel)()
	err := e.pump.Do(ctx, func(now time.Time, _ *ike.Endpoint) ike.Output { return f(now) })
	return e.because(err)
}

// because says that the engine has ended, where that is why something failed.
func (e *Engine) because(err error) error {
	if err != nil && e.run.Err() != nil {
		return fmt.Errorf("%w: the engine has ended", backend.ErrUnreachable)
	}
	return err
}
