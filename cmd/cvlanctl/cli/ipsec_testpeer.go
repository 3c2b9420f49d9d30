package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/diag/probe"
	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
	"github.com/cloudvlan/cvlanctl/diag/probe/scan"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/link/netstack"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TestPeerOptions is what ipsec test-peer takes.
type TestPeerOptions struct {
	Peer   string
	Config string
	FailOn diag.Severity
	Ping   string
	Wait   time.Duration

	// Without a policy.
	ID, RemoteID        string
	PSKFile, PSKEnv     string
	IKE, ESP            string
	LocalTS, RemoteTS   string
	InnerAddress        string
	ProbeTries          int
	PlainPort, NATTPort uint16
	// Ladder is how many other ways to authenticate are tried, and Pace the
	// pause before each.
	Ladder int
	Pace   time.Duration
	// Grade is the profile to grade ESP by, "" for not at all.
	Grade string

	// As responder.
	Listen                 bool
	Call                   time.Duration
	ListenPort, ListenNATT uint16
}

// NewCmdIPsecTestPeer makes `cvlanctl ipsec test-peer`.
func NewCmdIPsecTestPeer(app *App, runF func(context.Context, *TestPeerOptions) error) *cobra.Command {
	opts := &TestPeerOptions{FailOn: diag.High}
	if runF == nil {
		runF = func(ctx context.Context, o *TestPeerOptions) error { return runTestPeer(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "test-peer PEER",
		Short: "Test a peer step by step, and what would break after an hour too",
		Long: `Test a peer step by step: its name, the route, UDP 500 and 4500, NATs, sizes of
packets, proposals, authentication, the child SA, traffic through the tunnel, a
liveness check, the rekeying of both SAs, and a clean end. What fails is
diagnosed. Our own engine does it in this process, without root: it takes nothing
from a daemon that runs here.

PEER is a peer or a tunnel of the policy that --config names, or an address with
the options that say how both sides prove who they are.

A peer that refuses does not say why. With --ladder other ways to authenticate
are tried then, that differ in one thing each: without asking for the peer's
identity, near misses of the preshared key, other types of our identity, another
form of signature, and what else the policy holds. The first that the peer takes
names the cause. Each is one more failed attempt at the peer, which may lock out
who fails often: they are few, have a pause between them, and are counted.

With --grade the peer is asked, once the tunnel stands, for one CHILD SA after
another, each with one ESP algorithm, and what it takes is graded: by RFC 8221 or
a profile. Each that comes up is taken down at once; there are 40 at most. A scan
without credentials cannot see ESP.

With --listen it is the peer that calls:
then each transform, the identities, the preshared key or certificate and the
selectors that it sends are compared with what is configured here, and what
differs is told. A preshared key that is nearly right is named: a line end or
quotes with it, hexadecimal digits or base64 read as text, another encoding,
capitals, the key of another connection. No key is printed. UDP ports 500 and 4500
have to be free on this host, and who may not open them needs CAP_NET_BIND_SERVICE.`,
		Example: `  cvlanctl ipsec test-peer office --config site.yaml --ping 10.2.0.1
  cvlanctl ipsec test-peer 192.0.2.2 --id me@example.org --remote-id gw.example.org --psk-file psk \
    --local-ts 10.1.0.1/32 --remote-ts 10.2.0.0/16
  cvlanctl ipsec test-peer office --config site.yaml --ladder
  cvlanctl ipsec test-peer office --config site.yaml --grade cnsa2
  sudo cvlanctl ipsec test-peer office --config site.yaml --listen
  cvlanctl ipsec test-peer office --config site.yaml -o json | jq -r '.steps[] | select(.status == "fail")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usagef("%q needs one PEER, and here are %d: %s (a number of tries is written --ladder=%d)", cmd.CommandPath(), len(args), strings.Join(args, ", "), peer.DefaultLadder)
			case len(args) == 0 || args[0] == "":
				return usagef("%q needs one PEER: of the policy, or an address", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Peer = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Config, "config", "", "the policy file that has the peer")
	f.StringVar(&opts.Ping, "ping", "", "an address inside the tunnel to ping; without it the peer's network is one if it is a single host")
	f.DurationVar(&opts.Wait, "wait", 500*time.Millisecond, "how long the first sending of an early question waits for an answer")
	f.IntVar(&opts.ProbeTries, "tries", 3, "how often an early question is sent that nobody answers")
	f.Var((*severityFlag)(&opts.FailOn), "fail-on", "exit with 3 from this severity on: critical, high, medium, low, info")
	f.StringVar(&opts.ID, "id", "", "without --config: our identity")
	f.StringVar(&opts.RemoteID, "remote-id", "", "without --config: the peer's identity")
	f.StringVar(&opts.PSKFile, "psk-file", "", "without --config: the file that has the preshared key")
	f.StringVar(&opts.PSKEnv, "psk-env", "", "without --config: the environment variable that has the preshared key")
	f.StringVar(&opts.IKE, "ike", "", "without --config: proposals of the IKE SA, with commas between")
	f.StringVar(&opts.ESP, "esp", "", "without --config: proposals of the child SA, with commas between")
	f.StringVar(&opts.LocalTS, "local-ts", "", "without --config: our network")
	f.StringVar(&opts.RemoteTS, "remote-ts", "", "without --config: the peer's network")
	f.StringVar(&opts.InnerAddress, "inner-address", "", "our address inside the tunnel; without it one of our network")
	f.Uint16Var(&opts.PlainPort, "port", wire.PortIKE, "the peer's UDP port for IKE")
	f.Uint16Var(&opts.NATTPort, "natt-port", wire.PortNATT, "the peer's UDP port for IKE and ESP behind NATs")
	f.IntVar(&opts.Ladder, "ladder", 0, "how many other ways to authenticate to try where the peer refuses without a reason")
	f.Lookup("ladder").NoOptDefVal = strconv.Itoa(peer.DefaultLadder)
	f.DurationVar(&opts.Pace, "pace", peer.DefaultPace, "with --ladder: the pause before each try")
	f.StringVar(&opts.Grade, "grade", "", "ask for each ESP algorithm once the tunnel stands, and grade what the peer takes: rfc, cnsa1, cnsa2, nist")
	complete(cmd, "grade", words("rfc", "cnsa1", "cnsa2", "nist"))
	f.BoolVar(&opts.Listen, "listen", false, "let the peer call, and say what is wrong with what it sends")
	f.DurationVar(&opts.Call, "call", 2*time.Minute, "with --listen: how long to wait for the peer's call")
	f.Uint16Var(&opts.ListenPort, "listen-port", wire.PortIKE, "with --listen: our own UDP port for IKE")
	f.Uint16Var(&opts.ListenNATT, "listen-natt-port", wire.PortNATT, "with --listen: our own UDP port for IKE and ESP behind NATs")
	complete(cmd, "fail-on", words("critical", "high", "medium", "low", "info"))
	return cmd
}

// testPeer is a test as it is prepared.
type testPeer struct {
	app    *App
	o      *TestPeerOptions
	policy *policy.Policy
	conn   *policy.Connection
	child  string
	others []policy.Connection // of the policy
	// variants are other ways to authenticate.
	variants []native.Variant
	profile  *grade.Profile // nil where ESP is not graded
}

// tested is our engine with a stack inside its tunnel.
type tested struct {
	*native.Engine
	stack *netstack.Stack
}

// Ping sends an echo request through the tunnel.
func (e *tested) Ping(ctx context.Context, to netip.Addr, n int) (time.Duration, error) {
	return e.stack.Ping(ctx, to, n)
}

// prepare reads whom to test with.
func (t *testPeer) prepare(ctx context.Context) (peer.Target, error) {
	o := t.o
	p, name, err := o.policy(ctx, t.app)
	if err != nil {
		return peer.Target{}, err
	}
	t.policy, t.others = p, p.Connections
	if t.conn, t.child, err = pick(p, name); err != nil {
		return peer.Target{}, err
	}
	if t.child == "" && len(t.conn.Children) > 0 {
		t.child = t.conn.Children[0].Name
	}
	target, err := t.target()
	if err != nil {
		return target, err
	}
	if !o.Listen {
		if t.variants, err = native.Variants(ctx, p, t.conn, t.others, t.own()); err != nil && o.Ladder > 0 {
			return target, err
		}
		if t.profile != nil {
			target.ESP = t.espOffers()
		}
		for i := range t.variants {
			v := &t.variants[i]
			target.Variations = append(target.Variations, peer.Variation{Connection: v.Name, Kind: v.Kind, Near: v.Near, Says: v.Says})
		}
	}
	return target, nil
}

func runTestPeer(ctx context.Context, app *App, o *TestPeerOptions) error {
	t := &testPeer{app: app, o: o}
	var err error
	if t.profile, err = o.graded(); err != nil {
		return err
	}
	target, err := t.prepare(ctx)
	if err != nil {
		return err
	}
	if app.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, app.Timeout)
		defer cancel()
	}
	began := time.Now()
	how := t.options()
	how.Tell, how.TellTry = t.tell, t.tellTry
	r := t.run(ctx, target, how)
	if interrupted(ctx.Err()) {
		return ctx.Err()
	}
	d := doc.NewTestPeer(r, began)
	d.ESP = doc.NewTestPeerESP(r, t.profile)
	switch {
	case app.Output == print.JSONL:
	case app.Output.Text():
		if err = t.closeESP(r); err == nil {
			err = t.close(r)
		}
	default:
		err = print.Document(app.Term.Out, app.Output, d, d.Steps)
	}
	if err != nil {
		return err
	}
	if worst := diag.Worst(r.Findings); len(r.Findings) > 0 && worst.AtLeast(o.FailOn) {
		return &findingsError{worst.String()}
	}
	if r.Worst() == peer.Fail {
		return fmt.Errorf("the test of %s failed", o.Peer)
	}
	return nil
}

// options are how the test is done, without who is told of it.
func (t *testPeer) options() peer.Options {
	return peer.Options{Rules: rule.All(), Ladder: t.o.Ladder, Pace: t.o.Pace, Wait: t.o.Call}
}

// run tests the peer, or lets it call.
func (t *testPeer) run(ctx context.Context, target peer.Target, o peer.Options) *peer.Report {
	if t.o.Listen {
		return peer.Listen(ctx, target, t.tools(), o)
	}
	return peer.Run(ctx, target, t.tools(), o)
}

// target says whom to test with.
func (t *testPeer) target() (peer.Target, error) {
	host := ""
	for _, a := range t.conn.RemoteAddrs {
		if a.Single() {
			host = a.String()
			break
		}
	}
	if host == "" && t.o.Listen {
		host = "the peer"
	}
	if host == "" {
		return peer.Target{}, usagef("%s has no address to go to: it calls, and cannot be called", t.conn.Name)
	}
	target := peer.Target{Host: host, Connection: t.conn.Name, Child: t.child}
	for i := range t.conn.Proposals {
		target.Proposals = append(target.Proposals, t.conn.Proposals[i].Transforms)
		target.Offered = append(target.Offered, t.conn.Proposals[i].Text)
	}
	if t.o.Ping != "" {
		a, err := netip.ParseAddr(t.o.Ping)
		if err != nil {
			return target, usagef("--ping %q is not an address", t.o.Ping)
		}
		target.Ping = a
		return target, nil
	}
	for i := range t.conn.Children {
		for _, s := range t.conn.Children[i].Remote {
			if t.conn.Children[i].Name == t.child && !s.Dynamic && s.Range.From == s.Range.To {
				target.Ping = s.Range.From
			}
		}
	}
	return target, nil
}

// tools joins the test with the system and our engine.
func (t *testPeer) tools() peer.Tools {
	return peer.Tools{
		Resolve: func(ctx context.Context) (netip.Addr, error) {
			for _, a := range t.conn.RemoteAddrs {
				if a.Single() && a.Host != "" {
					return hostAddress(ctx, a.Host, netip.Addr{})
				}
				if a.Single() {
					return a.Prefix.Addr(), nil
				}
			}
			return netip.Addr{}, errors.New("no address is configured")
		},
		Route: func(_ context.Context, to netip.Addr) (string, int, error) { return routeTo(to) },
		Line: func(to netip.Addr) (peer.Line, error) {
			port := t.conn.RemotePort
			if port == 0 {
				port = t.o.PlainPort
			}
			l, err := scan.DialAsIKE(to, port, t.o.NATTPort)
			if err != nil {
				return nil, err
			}
			l.Timeout, l.Tries = t.o.Wait, t.o.ProbeTries
			return l, nil
		},
		Host:   func(ctx context.Context) *diag.HostFacts { return probe.Host(ctx, probe.Options{}) },
		Engine: t.engine,
	}
}

// sourceTo gives the address that the system would send from. Nothing is sent.
func sourceTo(to netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, wire.PortIKE)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = c.Close() }() // nothing was sent
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// routeTo says how the system would go to an address.
func routeTo(to netip.Addr) (string, int, error) {
	from, err := sourceTo(to)
	if err != nil {
		return "", 0, err
	}
	words, mtu := "from "+from.String(), 0
	interfaces, err := net.Interfaces()
	if err != nil {
		return words, 0, nil
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(from.AsSlice()) {
				mtu = i.MTU
				words += fmt.Sprintf(" by %s, MTU %d", i.Name, i.MTU)
			}
		}
	}
	return words, mtu, nil
}

// engine starts our engine with the one connection, its traffic in a stack
// within the process.
func (t *testPeer) engine(ctx context.Context, _ netip.Addr) (peer.Engine, error) {
	h := &here{app: t.app, o: &IPsecUpOptions{HereOptions: HereOptions{Address: t.o.InnerAddress}}}
	addresses, err := h.inside(t.conn, t.child)
	if err != nil {
		return nil, err
	}
	stack, err := netstack.New(1400, addresses...)
	if err != nil {
		return nil, err
	}
	plane, err := link.NewPlane(stack, link.PlaneOptions{})
	if err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	t.conn.NAT = "force" // without root there is no ESP but in UDP
	n := native.Options{Policy: t.policy, Plane: plane, PeerNATT: t.o.NATTPort, Listen: listenAnywhere, Version: version,
		Settings: ike.Settings{Packets: true, Explain: true, Retransmit: ike.Retransmission{Timeout: time.Second, Base: 1.5, Tries: 3}}}
	for i := range t.others {
		if t.others[i].Name != t.conn.Name {
			n.Elsewhere = append(n.Elsewhere, t.others[i])
		}
	}
	if t.o.Ladder > 0 {
		n.Variants = t.variants[:min(len(t.variants), t.o.Ladder)]
	}
	if t.o.Listen {
		n.Ports, n.Listen, n.Watched = ike.Ports{IKE: t.o.ListenPort, NATT: t.o.ListenNATT}, listenHere, true
	}
	engine, err := native.Start(ctx, n)
	if err != nil {
		return nil, errors.Join(err, plane.Close())
	}
	return &tested{engine, stack}, nil
}

// listenHere opens the very port that the peer calls at.
func listenHere(a netip.AddrPort) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	switch {
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("UDP port %d: %w; run it as root, or give the program CAP_NET_BIND_SERVICE", a.Port(), err)
	case err != nil:
		err = fmt.Errorf("UDP port %d: %w; a daemon that has it may be stopped for the test: ss -ulpn 'sport = :%d' shows which", a.Port(), err, a.Port())
	}
	return c, err
}

// own gives the address that this side goes to the peer from, as far as it is
// known before the test.
func (t *testPeer) own() netip.Addr {
	for _, a := range t.conn.LocalAddrs {
		if a.Single() && a.Host == "" {
			return a.Prefix.Addr()
		}
	}
	for _, a := range t.conn.RemoteAddrs {
		if a.Single() && a.Host == "" {
			from, _ := sourceTo(a.Prefix.Addr()) // the step on the route tells why there is none
			return from
		}
	}
	return netip.Addr{}
}
