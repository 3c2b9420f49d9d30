package cli

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// IPsecRunOptions is what ipsec run takes.
type IPsecRunOptions struct {
	DataOptions
	Config   string
	Local    string
	Port     uint16
	NATTPort uint16
	PeerNATT uint16
	KeyDir   string
	Socket   string // "" is the usual one, noSocket none
}

// NewCmdIPsecRun makes `cvlanctl ipsec run`.
func NewCmdIPsecRun(app *App, runF func(context.Context, *IPsecRunOptions) error) *cobra.Command {
	opts := &IPsecRunOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecRunOptions) error { return runIPsecRun(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "run [--config FILE]",
		Short: "Run the tunnels of a policy with our own IKE engine",
		Long: `Run the tunnels of a policy with our own IKE engine, in the foreground, and show
what happens to their SAs. An interrupt or SIGTERM deletes the SAs at the peers
and ends it, with exit code 130.

As root on Linux the engine carries the traffic of the tunnels. Where the kernel
has ESP, the kernel does it (--data xfrm): 'ip xfrm state' and 'ip xfrm policy'
show it, and transport mode is possible. Else it goes through a TUN device, with
ESP in user space (--data tun). Routes lead to the remote networks. All of that
goes when the engine ends; what was left when it was killed goes at its next
start. Peers are authenticated by preshared keys and by certificates. What else of
a policy it cannot do it refuses at the start.

It serves VICI on a socket for its owner alone: swanctl drives it, and so do the
other commands with --source engine, or without --source where no charon runs.
More connections and credentials may be loaded that way; with --local it needs no
policy at all.`,
		Example: `  cvlanctl ipsec run --config site.yaml
  cvlanctl ipsec run --config site.yaml -o jsonl | jq 'select(.kind == "child-up")'
  cvlanctl ipsec run --local 192.0.2.1 --socket /run/tunnels.vici
  cvlanctl ipsec run --config site.yaml --data xfrm
  cvlanctl ipsec run --config lab.yaml --port 5500 --natt-port 5501 --key-dir ./keys`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	f := cmd.Flags()
	f.StringVar(&opts.Config, "config", "", "the policy file")
	f.StringVar(&opts.Local, "local", "", "the address to speak from, where the policy does not name one")
	f.Uint16Var(&opts.Port, "port", ike.StandardPorts.IKE, "the UDP port for IKE")
	f.Uint16Var(&opts.NATTPort, "natt-port", ike.StandardPorts.NATT, "the UDP port for IKE and ESP behind NATs")
	f.Uint16Var(&opts.PeerNATT, "peer-natt-port", ike.StandardPorts.NATT, "the peers' UDP port for IKE and ESP behind NATs")
	opts.DataOptions.flags(cmd)
	f.StringVar(&opts.KeyDir, "key-dir", "", "write Wireshark's key tables into this folder; they open all traffic")
	f.StringVar(&opts.Socket, "socket", "", "serve VICI at this path, for swanctl and for --source engine; or none (default: in /run/cvlanctl for root, in $XDG_RUNTIME_DIR for others)")
	return cmd
}

func (o *IPsecRunOptions) options() (native.Options, error) {
	n := native.Options{Ports: ike.Ports{IKE: o.Port, NATT: o.NATTPort}, PeerNATT: o.PeerNATT, Version: version}
	switch {
	case o.Config == "" && o.Local == "":
		return n, usagef("ipsec run needs --config: the policy file; or --local, to be told by VICI what to do")
	case o.Config == "" && o.Socket == noSocket:
		return n, usagef("ipsec run without --config and without a socket has nothing to do")
	case o.Port == 0 || o.NATTPort == 0 || o.PeerNATT == 0:
		return n, usagef("a port is a number from 1 to 65535")
	case o.Port == o.NATTPort:
		return n, usagef("--port and --natt-port are both %d; they must differ", o.Port)
	}
	if o.Local != "" {
		var err error
		if n.Local, err = netip.ParseAddr(o.Local); err != nil || n.Local.IsUnspecified() {
			return n, usagef("--local %q is not one address", o.Local)
		}
	}
	if o.KeyDir != "" {
		n.Keys = &keyTables{dir: o.KeyDir}
	}
	return n, nil
}

func runIPsecRun(ctx context.Context, app *App, o *IPsecRunOptions) (err error) {
	n, err := o.options()
	if err != nil {
		return err
	}
	n.Policy = &policy.Policy{}
	if o.Config != "" {
		if n.Policy, err = readPolicy(ctx, app, o.Config); err != nil {
			return err
		}
	}
	n.Watched = true
	n.Settings.Packets = true // for those who follow the engine at its socket
	var socket net.Listener
	if o.Socket != noSocket {
		if socket, err = app.listenEngine(o.Socket); err != nil {
			return err
		}
	}
	engine, how, err := o.start(ctx, n)
	if err != nil {
		if socket != nil {
			err = errors.Join(err, socket.Close())
		}
		return notStarted(err)
	}
	app.Log.Info("the engine runs", "data", how)
	defer func() { err = errors.Join(err, engine.Close()) }()
	if socket != nil {
		defer func(end func() error) { err = errors.Join(err, end()) }(serveEngine(engine, socket))
	}
	out := newEventWriter(app, engine.Source())
	defer func() { err = errors.Join(err, out.close()) }()
	for e, err := range engine.Events(ctx, backend.EventOptions{Every: -1}) {
		if err != nil {
			return err
		}
		if e.Check != nil || e.Step != nil || e.Packet != nil {
			continue // the outcome of what they tell comes as a change or a failure
		}
		if err := out.event(e); err != nil {
			return err
		}
	}
	return ctx.Err()
}
