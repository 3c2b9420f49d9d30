package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// defaultTimeout bounds a command where --timeout does not.
const defaultTimeout = 30 * time.Second

// sourceFlags adds the flags that say which daemon is meant and how patient
// and how talkative commands on it are.
func (a *App) sourceFlags(fs *pflag.FlagSet) {
	fs.StringVar(&a.Source, "source", "", "where from: auto, vici[:ADDR], engine[:ADDR] or pcap:FILE; ADDR is a path or tcp://host:port (default auto)")
	fs.DurationVar(&a.Timeout, "timeout", 0, "give up after this time, such as 5s (default 30s)")
	fs.Var((*debugFlag)(&a.IPsecDebug), "ipsec-debug", "how much an IKE daemon tells of what it does for a command: -1 to 4; 4 tells keys")
	fs.StringVar(&a.DaemonLog, "daemon-log", "", "charon's own log file, for what failed and was up before; one that 'ipsec daemon' started needs none")
	fromEnv(fs, "source", "timeout", "ipsec-debug", "daemon-log")
}

// debugFlag is the value of --ipsec-debug.
type debugFlag int

// String gives the level.
func (d *debugFlag) String() string { return fmt.Sprint(int(*d)) }

// Set reads the level.
func (d *debugFlag) Set(s string) error {
	i := slices.Index([]string{"-1", "0", "1", "2", "3", "4"}, s)
	if i < 0 {
		return fmt.Errorf("%q is no level; it is a number from -1 to 4", s)
	}
	*d = debugFlag(i - 1)
	return nil
}

// Type names the value in help.
func (d *debugFlag) Type() string { return "level" }

// patience gives a context that ends after --timeout, or after usual where
// that was not given.
func (a *App) patience(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	if a.Timeout > 0 {
		usual = a.Timeout
	}
	return context.WithTimeout(ctx, usual)
}

// source splits --source into its kind and the rest: auto and "", vici and an
// address, pcap and a file.
func (a *App) source() (kind, rest string, err error) {
	kind, rest, found := strings.Cut(a.Source, ":")
	switch kind {
	case "", "auto":
		if found {
			return "", "", usagef("source %q is not understood; auto takes nothing", a.Source)
		}
		return "auto", "", nil
	case "vici", "engine", "pcap":
		return kind, rest, nil
	}
	return "", "", usagef("source %q is not understood; it is auto, vici[:ADDR], engine[:ADDR] or pcap:FILE", a.Source)
}

// backend reaches the daemon that --source names. The caller must Close it.
func (a *App) backend(ctx context.Context) (*vici.Client, error) {
	if a.Timeout < 0 {
		return nil, usagef("--timeout %s is negative", a.Timeout)
	}
	kind, rest, err := a.source()
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.patience(ctx, defaultTimeout)
	defer cancel()
	switch kind {
	case "pcap":
		return nil, usagef("source %q is no daemon; this command takes auto, vici[:ADDR] or engine[:ADDR]", a.Source)
	case "vici":
		addr, err := vici.ParseAddr(a.Source)
		if err != nil {
			return nil, &usageError{err}
		}
		client, err := vici.Dial(ctx, addr)
		if err != nil {
			return nil, advise(err)
		}
		return client, a.remember(client)
	case "engine":
		return a.dialEngine(ctx, rest)
	}
	client, err := findDaemon(ctx, a.usualAddrs())
	if err != nil {
		return nil, err
	}
	return client, a.remember(client)
}

// maxDaemonLog is how much of the end of a daemon's log file is read, in
// octets.
const maxDaemonLog = 16 << 20

// remember tells the client's history what the daemon's log file knows: a
// daemon itself tells nothing of its past.
func (a *App) remember(c *vici.Client) error {
	log, err := a.daemonLog(c)
	if err != nil {
		return err
	}
	return vici.ReadLog(bytes.NewReader(log), func(e *event.Event) {
		if !e.Time.IsZero() {
			c.History().Add(e)
		}
	})
}

// daemonLog reads the end of the daemon's log file, where one is named or
// stands in the private folder of a daemon of ours; nil where there is none.
func (a *App) daemonLog(c *vici.Client) ([]byte, error) {
	path := a.DaemonLog
	if path == "" {
		dir := filepath.Dir(c.Addr().Address)
		if c.Addr().Network != "unix" || dir != daemonDir() {
			return nil, nil
		}
		path = filepath.Join(dir, "charon.log")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("log of the daemon: %w", err)
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	if info, err := f.Stat(); err == nil && info.Size() > maxDaemonLog {
		if _, err := f.Seek(-maxDaemonLog, io.SeekEnd); err != nil {
			return nil, fmt.Errorf("log of the daemon: %w", err)
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxDaemonLog))
	if err != nil {
		return nil, fmt.Errorf("log of the daemon: %w", err)
	}
	return b, nil
}

// usualSockets are where a charon listens that was not told otherwise, and one
// that this program started.
func usualSockets() []string {
	var found []string
	for _, path := range []string{vici.DefaultSocket, "/run/charon.vici", filepath.Join(daemonDir(), filepath.Base(vici.DefaultSocket))} {
		// /var/run is a link to /run on most systems.
		if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			path = filepath.Join(dir, filepath.Base(path))
		}
		if !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	return found
}

// charons gives the addresses of charons at paths.
func charons(paths []string) []vici.Addr {
	var all []vici.Addr
	for _, path := range paths {
		all = append(all, vici.Addr{Network: "unix", Address: path})
	}
	return all
}

// usualAddrs are where a daemon is looked for: a charon, and then an engine of
// our own.
func (a *App) usualAddrs() []vici.Addr {
	return append(charons(usualSockets()), vici.Addr{Network: "unix", Address: a.engineSocket(), Engine: true})
}

// findDaemon reaches the first daemon that answers at one of the addresses.
func findDaemon(ctx context.Context, addrs []vici.Addr) (*vici.Client, error) {
	var tried []error
	for _, a := range addrs {
		client, err := vici.Dial(ctx, a)
		if err == nil {
			return client, nil
		}
		if ctx.Err() != nil {
			return nil, advise(err)
		}
		tried = append(tried, err)
	}
	return nil, advise(errors.Join(tried...))
}

// advisedError is a failure with what to do about it.
type advisedError struct {
	err    error
	advice []string
}

// Error gives the cause and the advice, a line each.
func (e *advisedError) Error() string {
	return strings.Join(append([]string{e.err.Error()}, e.advice...), "\n")
}

// Unwrap gives the cause.
func (e *advisedError) Unwrap() error { return e.err }

// advise says what to do about a daemon that cannot be reached; any other
// error stays as it is.
func advise(err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrUnreachable):
		return err
	case errors.Is(err, fs.ErrPermission):
		return &advisedError{err, []string{
			fmt.Sprintf("Run it as root (it runs as user %d), or give that user the socket: charon.plugins.vici.socket and charon.group in strongswan.conf.", os.Geteuid()),
		}}
	case errors.Is(err, context.DeadlineExceeded):
		return &advisedError{err, []string{"Something listens there and does not answer; --timeout gives it longer."}}
	}
	return &advisedError{err, []string{
		"Is charon running? 'systemctl status strongswan' says so, 'cvlanctl ipsec daemon start' starts one; 'cvlanctl ipsec run' is our own engine.",
		"Does it listen elsewhere? charon.plugins.vici.socket in strongswan.conf says where, --source vici:/PATH goes there.",
	}}
}

// completeNames offers the names of connections, or of children as
// CONNECTION/CHILD too, of the daemon that --source names.
func completeNames(app *App, children bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const nothing = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, nothing
		}
		// A shell waits for this: better no names than a long wait.
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		if app.settings(cmd) != nil {
			return nil, nothing
		}
		client, err := app.backend(ctx)
		if err != nil {
			return nil, nothing
		}
		defer closeBackend(app, client)
		connections, err := client.Connections(ctx)
		if err != nil {
			return nil, nothing
		}
		var names []string
		for _, c := range connections {
			names = append(names, c.Name)
			for _, child := range c.Children {
				if children {
					names = append(names, c.Name+"/"+child.Name)
				}
			}
		}
		return slices.DeleteFunc(names, unprintable), nothing
	}
}

// closeBackend closes a backend; what that says is of interest to nobody but
// the log.
func closeBackend(app *App, b backend.Backend) {
	if err := b.Close(); err != nil {
		app.Log.Debug("closing the connection to the daemon", "error", err)
	}
}
