package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/diag/probe/scan"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// IPsecScanOptions is what ipsec scan takes.
type IPsecScanOptions struct {
	Host     string
	Port     uint16
	NATTPort uint16
	Local    string
	Profile  string
	FailOn   string
	Resume   string
	Max      int
	Pace     time.Duration
	Wait     time.Duration // for an answer
	Tries    int
}

// NewCmdIPsecScan makes `cvlanctl ipsec scan`.
func NewCmdIPsecScan(app *App, runF func(context.Context, *IPsecScanOptions) error) *cobra.Command {
	opts := &IPsecScanOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecScanOptions) error { return runIPsecScan(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "scan HOST",
		Short: "Find out what an IKE responder is and what it accepts",
		Long: `Find out what an IKE responder is and what it accepts, with nothing but its
address: IKEv2 and IKEv1, ports 500 and 4500, every algorithm that it takes for an
IKE SA, cookies, NATs on the way, fragmentation, what it claims to be. What it
accepts is graded. Each algorithm that it takes among others is asked for once
more where it has no choice; where the answers disagree, that is told. So is what
it agrees to and then does not go on with: it may not have it.

Requests go to this host alone, one at a time. A responder's log shows each of
them; SAs that it sets up half are closed under the identity "cvlanctl scan".
Scan only what is yours to scan. It needs no root and no credentials, and so it
sees no ESP proposals: test-peer --grade does. The usual host is asked 30 to 80 times; --max bounds it,
and --resume FILE keeps what was answered, and goes on from it.

The exit code is 3 where something accepted is graded as bad as --fail-on.`,
		Example: `  cvlanctl ipsec scan vpn.example.org
  cvlanctl ipsec scan 192.0.2.2 --profile cnsa1 --fail-on weak
  cvlanctl ipsec scan 192.0.2.2 --resume scan.json --max 20
  cvlanctl ipsec scan 192.0.2.2 -o json | jq -r '.transforms[] | select(.grade != "good") | .keyword'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usagef("%q needs one HOST: an address or a name", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Host = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.Uint16Var(&opts.Port, "port", ike.StandardPorts.IKE, "the host's UDP port for IKE")
	f.Uint16Var(&opts.NATTPort, "natt-port", ike.StandardPorts.NATT, "the host's UDP port for IKE and ESP behind NATs")
	f.StringVar(&opts.Local, "local", "", "the address to send from")
	f.StringVar(&opts.Profile, "profile", grade.Profiles[0].Name, "what to grade by: rfc, cnsa1, cnsa2, nist")
	f.StringVar(&opts.FailOn, "fail-on", grade.Forbidden.String(), "exit with 3 from this grade on: weak, forbidden")
	f.StringVar(&opts.Resume, "resume", "", "a file of an earlier scan's JSON to go on from, and to write the outcome to")
	f.IntVar(&opts.Max, "max", scan.DefaultMax, "requests in all, repetitions not counted")
	f.DurationVar(&opts.Pace, "pace", scan.DefaultPace, "the least time between two requests")
	f.DurationVar(&opts.Wait, "wait", time.Second, "how long the first sending waits for an answer")
	f.IntVar(&opts.Tries, "tries", 3, "how often a request is sent that nobody answers")
	complete(cmd, "profile", words("rfc", "cnsa1", "cnsa2", "nist"))
	complete(cmd, "fail-on", words("weak", "forbidden"))
	return cmd
}

// check refuses options that make no scan.
func (o *IPsecScanOptions) check() error {
	switch {
	case o.Port == 0 || o.NATTPort == 0:
		return usagef("a port is a number from 1 to 65535")
	case o.Max < 1 || o.Max > 10000:
		return usagef("--max %d is not from 1 to 10000", o.Max)
	case o.Pace < 0 || o.Wait <= 0:
		return usagef("--pace %s and --wait %s: a time to wait is positive", o.Pace, o.Wait)
	case o.Tries < 1 || o.Tries > 10:
		return usagef("--tries %d is not from 1 to 10", o.Tries)
	case o.FailOn != grade.Weak.String() && o.FailOn != grade.Forbidden.String():
		return usagef("--fail-on %q is neither weak nor forbidden", o.FailOn)
	}
	return nil
}

func runIPsecScan(ctx context.Context, app *App, o *IPsecScanOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	profile, err := grade.Named(o.Profile)
	if err != nil {
		return &usageError{err}
	}
	before, err := o.before()
	if err != nil {
		return err
	}
	line, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = line.Close() }() // nothing more is expected from it
	if app.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, app.Timeout)
		defer cancel()
	}
	o.announce(app, line)
	r, failed := scan.Run(ctx, line, scan.Options{Max: o.Max, Pace: o.Pace, Before: before, Progress: o.progress(app)})
	if app.Term.ErrTTY {
		fmt.Fprint(app.Term.Err, "\r\x1b[K")
	}
	if interrupted(failed) && len(r.Questions) == 0 {
		return failed
	}
	d := doc.NewScan(o.Host, r, profile)
	if err := o.keep(d); err != nil {
		return errors.Join(err, failed)
	}
	if app.Output.Text() {
		err = writeScan(app, d, r, profile)
	} else {
		err = document(app, d, d.Transforms)
	}
	switch {
	case err != nil:
		return err
	case errors.Is(failed, scan.ErrBound):
		return fmt.Errorf("after %d requests; --max allows more, and --resume FILE goes on from here: %w", r.Requests, failed)
	case errors.Is(failed, scan.ErrQuiet):
		return fmt.Errorf("after %d requests; wait a minute or more and go on with --resume FILE, and a longer --pace: %w", r.Requests, failed)
	case failed != nil:
		return failed
	case r.IKEv2 != scan.Answers && r.IKEv1 != scan.Answers && r.MajorVersion3 != "INVALID_MAJOR_VERSION":
		return &unreachableError{fmt.Errorf("%s does not answer IKE: port %d %s, port %d %s; %s", o.Host, r.Port, wordless(r.IKEv2), r.NATTPort, wordless(r.Port4500), whyWordless(r))}
	case d.Worst == grade.Forbidden.String() || d.Worst == o.FailOn:
		return &findingsError{d.Worst}
	}
	return nil
}

// announce says on a terminal how much is to be sent at most.
func (o *IPsecScanOptions) announce(app *App, line *scan.UDP) {
	if !app.Term.ErrTTY {
		return
	}
	_, remote := line.Ends(false)
	times := "once"
	if o.Tries > 1 {
		times = fmt.Sprintf("up to %d times", o.Tries)
	}
	fmt.Fprintf(app.Term.Err, "at most %d requests to %s alone, one at a time,\n%s apart or more, each sent %s\n", o.Max, remote.Addr(), o.Pace, times)
}

// wordless says how a port took a request that nobody answered.
func wordless(v scan.Verdict) string {
	if v == scan.Refused {
		return "is closed"
	}
	return "is silent"
}

// whyWordless says what may be the matter with a host that does not answer, and
// what to do.
func whyWordless(r *scan.Result) string {
	if r.IKEv2 == scan.Refused {
		return "the host is there, and no IKE daemon listens: start it, or look at its ports with ss -ulpn"
	}
	return "a wrong address, a firewall on the way, or nobody there: does a capture on the host show the requests (tcpdump -n udp port " + fmt.Sprint(r.Port) + ")?"
}

// dial finds the host and opens the sockets to it.
func (o *IPsecScanOptions) dial(ctx context.Context) (*scan.UDP, error) {
	var local netip.Addr
	if o.Local != "" {
		var err error
		if local, err = netip.ParseAddr(o.Local); err != nil || local.IsUnspecified() {
			return nil, usagef("--local %q is not one address", o.Local)
		}
	}
	host, err := hostAddress(ctx, o.Host, local)
	if err != nil {
		return nil, err
	}
	line, err := scan.Dial(local, host, o.Port, o.NATTPort)
	if err != nil {
		return nil, &unreachableError{err}
	}
	line.Timeout, line.Tries = o.Wait, o.Tries
	return line, nil
}

// hostAddress gives the address of a host, of the family of local where that
// is set.
func hostAddress(ctx context.Context, host string, local netip.Addr) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			return a, usagef("%s is not the address of one host", host)
		}
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, &unreachableError{fmt.Errorf("host %s: %w", host, err)}
	}
	i := slices.IndexFunc(list, func(a netip.Addr) bool { return !local.IsValid() || a.Unmap().Is4() == local.Unmap().Is4() })
	if i < 0 {
		return netip.Addr{}, &unreachableError{fmt.Errorf("host %s has no address of the family of %s", host, local)}
	}
	return list[i].Unmap(), nil
}

// progress says on a terminal what was just asked.
func (o *IPsecScanOptions) progress(app *App) func(scan.Question) {
	if !app.Term.ErrTTY {
		return nil
	}
	n := 0
	return func(q scan.Question) {
		n++
		fmt.Fprintf(app.Term.Err, "\r%d questions; %s: %s\x1b[K", n, q.Name, q.Outcome)
	}
}

// maxScanFile bounds the file of an earlier scan, in octets.
const maxScanFile = 8 << 20

// before reads the file of an earlier scan; one that is not there yet is a
// beginning.
func (o *IPsecScanOptions) before() (*scan.Result, error) {
	if o.Resume == "" {
		return nil, nil
	}
	info, err := os.Stat(o.Resume)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("earlier scan: %w", err)
	case info.Size() > maxScanFile:
		return nil, fmt.Errorf("earlier scan %s: %d octets, more than any scan has", o.Resume, info.Size())
	}
	b, err := os.ReadFile(o.Resume)
	if err != nil {
		return nil, fmt.Errorf("earlier scan: %w", err)
	}
	var d doc.Scan
	if err := json.Unmarshal(b, &d); err != nil || d.Schema != doc.ScanSchema {
		return nil, fmt.Errorf("earlier scan %s: no JSON document of a scan (schema %q)", o.Resume, d.Schema)
	}
	if d.Target != o.Host || d.Port != o.Port || d.NATTPort != o.NATTPort {
		return nil, usagef("%s is of a scan of %s, ports %d and %d, and not of %s, ports %d and %d", o.Resume, d.Target, d.Port, d.NATTPort, o.Host, o.Port, o.NATTPort)
	}
	return d.Before(), nil
}

// keep writes the outcome for a later scan to go on from.
func (o *IPsecScanOptions) keep(d *doc.Scan) error {
	if o.Resume == "" {
		return nil
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("outcome of the scan: %w", err)
	}
	if err := os.WriteFile(o.Resume, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("outcome of the scan: %w", err)
	}
	return nil
}
