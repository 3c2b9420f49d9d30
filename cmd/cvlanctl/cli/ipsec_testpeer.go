package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
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

A peer that refuses does not say why. With --listen it is the peer that calls:
then each transform, the identities, the preshared key or certificate and the
selectors that it sends are compared with what is configured here, and what
differs is told. A preshared key that is nearly right is named: a line end or
quotes with it, hexadecimal digits or base64 read as text, another encoding,
capitals, the key of another connection. No key is printed. UDP ports 500 and 4500
have to be free on this host, and who may not open them needs CAP_NET_BIND_SERVICE.`,
		Example: `  cvlanctl ipsec test-peer office --config site.yaml --ping 10.2.0.1
  cvlanctl ipsec test-peer 192.0.2.2 --id me@example.org --remote-id gw.example.org --psk-file psk \
    --local-ts 10.1.0.1/32 --remote-ts 10.2.0.0/16
  sudo cvlanctl ipsec test-peer office --config site.yaml --listen
  cvlanctl ipsec test-peer office --config site.yaml -o json | jq -r '.steps[] | select(.status == "fail")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
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
	f.BoolVar(&opts.Listen, "listen", false, "let the peer call, and say what is wrong with what it sends")
	f.DurationVar(&opts.Call, "call", 2*time.Minute, "with --listen: how long to wait for the peer's call")
	f.Uint16Var(&opts.ListenPort, "listen-port", wire.PortIKE, "with --listen: our own UDP port for IKE")
	f.Uint16Var(&opts.ListenNATT, "listen-natt-port", wire.PortNATT, "with --listen: our own UDP port for IKE and ESP behind NATs")
	complete(cmd, "fail-on", words("critical", "high", "medium", "low", "info"))
	return cmd
}

// quoted gives a text as YAML takes it.
func yamlText(s string) string {
	b, _ := json.Marshal(s) // a string has a form in JSON, and JSON is YAML
	return string(b)
}

// policyText writes the policy that the options say.
func (o *TestPeerOptions) policyText() ([]byte, error) {
	switch {
	case o.ID == "":
		return nil, usagef("without --config, --id says who we are")
	case (o.PSKFile == "") == (o.PSKEnv == ""):
		return nil, usagef("without --config, one of --psk-file and --psk-env has the preshared key")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nnode: {identity: %s}\npeers:\n  peer:\n    addresses: %s\n    auth: psk\n", yamlText(o.ID), yamlText(o.Peer))
	if o.PSKFile != "" {
		fmt.Fprintf(&b, "    psk: {file: %s}\n", yamlText(o.PSKFile))
	} else {
		fmt.Fprintf(&b, "    psk: {env: %s}\n", yamlText(o.PSKEnv))
	}
	if o.RemoteID != "" {
		fmt.Fprintf(&b, "    identity: %s\n", yamlText(o.RemoteID))
	}
	if o.PlainPort != wire.PortIKE {
		fmt.Fprintf(&b, "    port: %d\n", o.PlainPort)
	}
	list := func(s string) string {
		var words []string
		for part := range strings.SplitSeq(s, ",") {
			words = append(words, yamlText(strings.TrimSpace(part)))
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	if o.IKE != "" {
		fmt.Fprintf(&b, "    ike: {proposals: %s}\n", list(o.IKE))
	}
	b.WriteString("tunnels:\n  tunnel:\n    peer: peer\n")
	if o.LocalTS != "" {
		fmt.Fprintf(&b, "    local: %s\n", list(o.LocalTS))
	}
	if o.RemoteTS != "" {
		fmt.Fprintf(&b, "    remote: %s\n", list(o.RemoteTS))
	}
	if o.ESP != "" {
		fmt.Fprintf(&b, "    esp: {proposals: %s}\n", list(o.ESP))
	}
	return []byte(b.String()), nil
}

// policy gives the policy with the peer, and the name of the peer in it.
func (o *TestPeerOptions) policy(ctx context.Context, app *App) (*policy.Policy, string, error) {
	if o.Config != "" {
		p, err := readPolicy(ctx, app, o.Config)
		return p, o.Peer, err
	}
	text, err := o.policyText()
	if err != nil {
		return nil, "", err
	}
	p, findings := policy.Parse(ctx, "options", text, policy.Options{Now: time.Now(), Dir: "."})
	for _, f := range findings {
		if f.Severity == policy.Error {
			fmt.Fprintln(app.Term.Err, cleaned(f.String()))
		}
	}
	if p == nil {
		return nil, "", usagef("the options do not make a tunnel")
	}
	return p, "peer", nil
}

// testPeer is a test as it is prepared.
type testPeer struct {
	app    *App
	o      *TestPeerOptions
	policy *policy.Policy
	conn   *policy.Connection
	child  string
	others []policy.Connection // of the policy
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

func runTestPeer(ctx context.Context, app *App, o *TestPeerOptions) error {
	t := &testPeer{app: app, o: o}
	p, name, err := o.policy(ctx, app)
	if err != nil {
		return err
	}
	t.policy, t.others = p, p.Connections
	if t.conn, t.child, err = pick(p, name); err != nil {
		return err
	}
	if t.child == "" && len(t.conn.Children) > 0 {
		t.child = t.conn.Children[0].Name
	}
	target, err := t.target()
	if err != nil {
		return err
	}
	if app.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, app.Timeout)
		defer cancel()
	}
	began := time.Now()
	test := peer.Run
	if o.Listen {
		test = peer.Listen
	}
	r := test(ctx, target, t.tools(), peer.Options{Rules: rule.All(), Tell: t.tell, Wait: o.Call})
	if interrupted(ctx.Err()) {
		return ctx.Err()
	}
	d := doc.NewTestPeer(r, began)
	switch {
	case app.Output == print.JSONL:
	case app.Output.Text():
		err = t.close(r)
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
			l, err := scan.Dial(netip.Addr{}, to, port, t.o.NATTPort)
			if err != nil {
				return nil, err
			}
			l.Timeout, l.Tries = t.o.Wait, t.o.ProbeTries
			return l, nil
		},
		Host:   func(ctx context.Context) *diag.HostFacts { return probe.Host(ctx, 0) },
		Engine: t.engine,
	}
}

// routeTo says how the system would go to an address. Nothing is sent.
func routeTo(to netip.Addr) (string, int, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, wire.PortIKE)))
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = c.Close() }() // nothing was sent
	from := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
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
	if t.o.Listen {
		n.Ports, n.Listen = ike.Ports{IKE: t.o.ListenPort, NATT: t.o.ListenNATT}, listenHere
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

// testMeaning gives the colour and the mark of a status.
func testMeaning(s peer.Status) (term.Meaning, string) {
	switch s {
	case peer.Pass:
		return term.Good, "pass"
	case peer.Warn:
		return term.Warning, "warn"
	case peer.Fail:
		return term.Bad, "FAIL"
	}
	return term.Muted, "skip"
}

// tell shows a step as it ends.
func (t *testPeer) tell(s peer.Step) {
	switch {
	case s.Status == "" && t.app.Term.OutTTY && t.app.Output.Text():
		fmt.Fprintf(t.app.Term.Out, "      %s ...", s.Name)
	case s.Status == "":
	case t.app.Output == print.JSONL:
		b, err := json.Marshal(doc.NewTestPeerStep(&s))
		if err == nil {
			_, _ = t.app.Term.Out.Write(append(print.Escape(b), '\n')) // a reader that is gone ends the test by itself
		}
	case t.app.Output.Text():
		m, mark := testMeaning(s.Status)
		if t.app.Term.OutTTY {
			fmt.Fprint(t.app.Term.Out, "\r\x1b[K")
		}
		took := ""
		if s.Status != peer.Skip {
			took = fmt.Sprintf("%7.1f ms", ms(s.Duration))
		}
		fmt.Fprintf(t.app.Term.Out, "%s  %-26s %10s  %s\n", t.app.Term.Paint(m, mark), s.Name, took, cleaned(s.Detail))
	}
}

// close writes what was found, after the steps.
func (t *testPeer) close(r *peer.Report) error {
	out := bufio.NewWriter(t.app.Term.Out)
	w := &wrapper{w: out, term: t.app.Term, width: textWidth, live: true}
	n := 0
	faults := slices.ContainsFunc(r.Findings, func(f diag.Finding) bool { return f.Severity < diag.Info })
	for i := range r.Findings {
		if r.Findings[i].Severity < diag.Info || !faults && r.Worst() != peer.Pass {
			n++
			w.blank()
			w.finding(n, &r.Findings[i])
		}
	}
	w.blank()
	m, words := term.Good, "all that was tested works"
	switch r.Worst() {
	case peer.Fail:
		m, words = term.Bad, "the tunnel does not work: see above"
	case peer.Warn:
		m, words = term.Warning, "it works, with what is said above"
	}
	w.line(m, "", fmt.Sprintf("%s, in %.1f s", words, r.Took.Seconds()))
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the outcome: %w", err)
	}
	return nil
}
