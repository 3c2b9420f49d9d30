package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/link/netstack"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// HereOptions are those of ipsec up for a tunnel of our own engine, in this
// process.
type HereOptions struct {
	DataOptions
	Config   string
	Netstack bool
	Address  string   // inside, of the stack; "" for one of the local selectors
	Ping     string   // an address inside
	Count    int      // of pings
	Size     int      // octets of data in a ping
	Forward  []string // LOCAL:REMOTE, TCP
}

func (o *HereOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Config, "config", "", "a policy file: bring the tunnel up with our own engine, in this process, until interrupted")
	f.BoolVar(&o.Netstack, "netstack", false, "with --config: carry traffic in a TCP/IP stack within the process, which needs no root")
	f.StringVar(&o.Address, "inner-address", "", "with --netstack: the address inside the tunnel; without it one of the local selectors")
	f.StringVar(&o.Ping, "ping", "", "with --netstack: ping this address through the tunnel, and end")
	f.IntVar(&o.Count, "count", 4, "with --ping: how often")
	f.IntVar(&o.Size, "size", 56, "with --ping: octets of data")
	f.StringArrayVar(&o.Forward, "forward", nil, "with --netstack: LOCAL:REMOTE, take TCP connections on LOCAL and carry them through the tunnel to REMOTE; may be given again")
	o.DataOptions.flags(cmd)
}

// checkHere refuses what only a tunnel in this process has.
func (o *HereOptions) checkHere() error {
	switch {
	case o.Config == "" && (o.Netstack || o.Ping != "" || len(o.Forward) > 0 || o.Address != ""):
		return usagef("--netstack, --ping, --forward and --inner-address are for a tunnel in this process: --config names its policy")
	case !o.Netstack && (o.Ping != "" || len(o.Forward) > 0 || o.Address != ""):
		return usagef("--ping, --forward and --inner-address need --netstack: without it the tunnel is the system's, for every program")
	case o.Count < 1 || o.Size < 0 || o.Size > 60000:
		return usagef("--count %d and --size %d: one ping at least, of 0 to 60000 octets", o.Count, o.Size)
	}
	return nil
}

// here is a tunnel of our own engine in this process.
type here struct {
	app    *App
	o      *IPsecUpOptions
	engine *native.Engine
	stack  *netstack.Stack // nil where the tunnel is the system's
	target target
	ping   netip.Addr
	ways   []forward
}

// runUpHere brings a tunnel up with our own engine, shows it until it is
// interrupted or has done what it is for, and takes it down.
func runUpHere(ctx context.Context, app *App, o *IPsecUpOptions) (err error) {
	h := &here{app: app, o: o}
	if h.ways, err = o.forwards(); err != nil {
		return err
	}
	if o.Ping != "" {
		if h.ping, err = netip.ParseAddr(o.Ping); err != nil {
			return usagef("--ping %q is not an address", o.Ping)
		}
	}
	p, err := readPolicy(ctx, app, o.Config)
	if err != nil {
		return err
	}
	connection, child, err := pick(p, o.Name)
	if err != nil {
		return err
	}
	if err := h.start(ctx, p, connection, child); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.engine.Close()) }()
	a, err := h.up(ctx, connection.Name, child)
	switch {
	case err != nil:
		return err
	case h.ping.IsValid():
		return a.finish(h.pings(ctx, a))
	}
	if err := a.finish(nil); err != nil {
		return err
	}
	return h.use(ctx)
}

// pick narrows a policy to the one connection that a name means, none of whose
// children start by themselves. child is "" for all of them.
func pick(p *policy.Policy, name string) (c *policy.Connection, child string, err error) {
	var names []string
	for i := range p.Connections {
		conn := &p.Connections[i]
		names = append(names, conn.Name)
		whole, part, both := strings.Cut(name, "/")
		for j := range conn.Children {
			ch := conn.Children[j].Name
			names = append(names, conn.Name+"/"+ch)
			if both && whole == conn.Name && part == ch || !both && name == ch {
				c, child = conn, ch
			}
		}
		if name == conn.Name {
			c, child = conn, ""
			break
		}
	}
	if c == nil {
		return nil, "", fmt.Errorf("the policy has no peer and no tunnel of the name %q%s", name, listed(names))
	}
	for j := range c.Children {
		c.Children[j].Start = "none"
	}
	p.Connections = []policy.Connection{*c}
	return &p.Connections[0], child, nil
}

// notStarted says why the engine does not start, and what would let it.
func notStarted(err error, more ...string) error {
	err = fmt.Errorf("starting the engine: %w", err)
	if !errors.Is(err, os.ErrPermission) {
		return err
	}
	return &advisedError{err, append([]string{
		fmt.Sprintf("Run it as root (it runs as user %d): UDP ports 500 and 4500 need CAP_NET_BIND_SERVICE, and a TUN device or the kernel's ESP CAP_NET_ADMIN.", os.Geteuid()),
	}, more...)}
}

// start starts the engine.
func (h *here) start(ctx context.Context, p *policy.Policy, c *policy.Connection, child string) error {
	n := native.Options{Policy: p, Version: version, Watched: true, Settings: ike.Settings{Packets: true}}
	if h.o.KeyDir != "" {
		n.Keys = &keyTables{dir: h.o.KeyDir}
	}
	if !h.o.Netstack {
		engine, how, err := h.o.DataOptions.start(ctx, n)
		if err != nil {
			return notStarted(err, "With --netstack it needs neither; its traffic is then for this process alone.")
		}
		h.engine = engine
		h.app.Log.Info("the engine runs", "data", how)
		return nil
	}
	if err := h.o.DataOptions.check(); err != nil {
		return err
	}
	// Without root there are neither the well-known ports nor ESP but in UDP.
	c.NAT = "force"
	n.Listen = listenAnywhere
	addresses, err := h.inside(c, child)
	if err != nil {
		return err
	}
	if h.stack, err = netstack.New(max(h.o.MTU, 1280), addresses...); err != nil {
		return err
	}
	plane, err := link.NewPlane(h.stack, link.PlaneOptions{PathMTU: h.o.PathMTU, Window: h.o.Window, ClampMSS: h.o.MSS})
	if err != nil {
		return errors.Join(err, h.stack.Close())
	}
	n.Plane = plane
	if h.engine, err = native.Start(ctx, n); err != nil {
		return errors.Join(fmt.Errorf("starting the engine: %w", err), plane.Close())
	}
	return nil
}

// listenAnywhere opens a UDP socket on a port, or where that may not be had or
// is taken, on any.
func listenAnywhere(a netip.AddrPort) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr(), 0)))
	}
	return c, nil
}

// inside gives the addresses of the stack: one of each family that the local
// selectors have.
func (h *here) inside(c *policy.Connection, child string) ([]netip.Addr, error) {
	if h.o.Address != "" {
		a, err := netip.ParseAddr(h.o.Address)
		if err != nil {
			return nil, usagef("--inner-address %q is not an address", h.o.Address)
		}
		return []netip.Addr{a}, nil
	}
	var list []netip.Addr
	have := map[bool]bool{}
	for i := range c.Children {
		if child != "" && c.Children[i].Name != child {
			continue
		}
		for _, s := range c.Children[i].Local {
			first := firstHost(s.Range)
			if first.IsValid() && !have[first.Is4()] {
				have[first.Is4()] = true
				list = append(list, first)
			}
		}
	}
	if len(list) == 0 {
		return nil, usagef("the policy does not say which address this side has inside the tunnel; --inner-address does")
	}
	return list, nil
}

// firstHost gives the first address of a range that a host can have.
func firstHost(r policy.Range) netip.Addr {
	if p, ok := r.Prefix(); ok && p.Bits() < p.Addr().BitLen() {
		return r.From.Next()
	}
	return r.From
}

// up brings the tunnel up, and shows how. The action has ended only where there
// is an error.
func (h *here) up(ctx context.Context, connection, child string) (*action, error) {
	limited, cancel := h.app.patience(ctx, defaultTimeout)
	defer cancel()
	s, err := h.engine.Snapshot(limited)
	if err != nil {
		return nil, err
	}
	found, err := find(s, h.o.Name)
	if err != nil {
		return nil, err
	}
	h.target = *found
	a := newAction(h.app, h.engine.Source(), "up")
	a.doc.Connection, a.doc.Child = connection, child
	a.own = h.engine.Own
	a.begins(s)
	for _, goal := range found.goals() {
		if err := h.engine.Up(limited, goal, backend.UpOptions{}, a.add); err != nil {
			return nil, a.finish(a.failure(limited, name(goal)+" did not come up", err))
		}
		a.say(term.Good, "%s is up", name(goal))
	}
	return a, nil
}

// use does what the tunnel is for.
func (h *here) use(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, f := range h.ways {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.local)
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				err = fmt.Errorf("%w; a port above 1023 needs no permission", err)
			}
			return fmt.Errorf("--forward: %w", err)
		}
		defer func() { _ = l.Close() }() // nobody is left to connect
		fmt.Fprintf(h.app.Term.Err, "cvlanctl: %s leads through the tunnel to %s\n", l.Addr(), f.remote)
		go h.accept(ctx, l, f.remote)
	}
	return h.watch(ctx)
}

// watchEvery is how often the SA that is up is shown anew.
const watchEvery = time.Second

// watch shows the SA as it lives, until ctx ends or the engine does: on a
// terminal in one line, else by what happens to it.
func (h *here) watch(ctx context.Context) error {
	if !h.app.Output.Text() || !h.app.Term.OutTTY {
		return h.follow(ctx)
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	fmt.Fprintln(h.app.Term.Out, "Ctrl-C takes it down.")
	defer fmt.Fprintln(h.app.Term.Out)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.engine.Wait():
			return errors.New("the engine has ended")
		case <-tick.C:
			h.line(ctx)
		}
	}
}

// follow writes what happens to the SA, in text and as JSON lines, where no
// document was written already.
func (h *here) follow(ctx context.Context) error {
	if h.app.Output == print.JSON || h.app.Output == print.YAML {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.engine.Wait():
			return errors.New("the engine has ended")
		}
	}
	out := newEventWriter(h.app, h.engine.Source())
	for e, err := range h.engine.Events(ctx, backend.EventOptions{Every: -1}) {
		if err != nil {
			return err
		}
		if e.Change == nil && (e.Log == nil || e.Log.Failure == nil) {
			continue
		}
		if err := out.event(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the engine has ended")
}

// line shows the tunnel in one line, over the line before.
func (h *here) line(ctx context.Context) {
	s, err := h.engine.Snapshot(ctx)
	if err != nil {
		return
	}
	now := time.Now()
	words := "down"
	for i := range s.Tunnels {
		for j := range s.Tunnels[i].Children {
			for _, c := range s.Tunnels[i].Children[j].SAs {
				words = fmt.Sprintf("%s{%d} %s for %s, in %s, out %s, rekey in %s", c.Name, c.UniqueID, c.State, age(c.Installed, now),
					octets(c.BytesIn), octets(c.BytesOut), due(c.Timers, "rekey", now))
			}
		}
	}
	fmt.Fprintf(h.app.Term.Out, "\r%s\x1b[K", cleaned(words))
}
