package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/internal/filter"
)

// NewCmdPcap makes `cvlanctl pcap`, under which stand the commands on
// captures.
func NewCmdPcap(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pcap",
		Short: "Read captures: decode, exchanges, SAs, diagnosis, and live capture",
		Example: `  cvlanctl pcap decode trace.pcap
  cvlanctl pcap diagnose --fail-on medium before.pcap after.pcapng.gz
  tcpdump -w - udp port 500 | cvlanctl pcap exchanges -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		NewCmdPcapDecode(app, nil),
		NewCmdPcapExchanges(app, nil),
		NewCmdPcapSAs(app, nil),
		NewCmdPcapDiagnose(app, nil),
		NewCmdPcapCapture(app, nil),
		NewCmdPcapKeys(app, nil),
	)
	return cmd
}

// ReadOptions is what every command on a capture takes.
type ReadOptions struct {
	Keys   []string // files or folders of Wireshark key tables
	Filter string
}

func (o *ReadOptions) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVar(&o.Keys, "keys", nil, "FILE or DIR with Wireshark's ikev2_decryption_table, ikev1_decryption_table or esp_sa; can be repeated")
	fs.StringVar(&o.Filter, "filter", "", "only packets that match, such as 'peer=192.0.2.1 and not proto=esp' or 'host 192.0.2.1 and udp port 4500'")
	fromEnv(fs, "keys")
}

// reading is a capture that is being read: the events that the filter lets
// through.
type reading struct {
	app     *App
	events  iter.Seq2[*event.Event, error]
	counter capture.Counter // nil where the source does not count
	filter  *filter.Filter
	live    bool // what is read may pause: standard input, an interface
	begun   time.Time
}

// open makes the events of capture files.
func (o *ReadOptions) open(ctx context.Context, app *App, files []string) (*reading, error) {
	stdin := slices.Contains(files, "-")
	opts := capture.FileOptions{}
	if stdin {
		opts.Stdin = interruptible(ctx, app.Term.In)
	}
	source, err := capture.Open(files, opts)
	if err != nil {
		return nil, &unreachableError{err}
	}
	return o.read(ctx, app, source, stdin)
}

// read makes the events of any source of frames.
func (o *ReadOptions) read(ctx context.Context, app *App, source capture.Source, live bool) (*reading, error) {
	selected, err := filter.Parse(o.Filter)
	if err != nil {
		return nil, &usageError{err}
	}
	keys, err := o.loadKeys(app)
	if err != nil {
		return nil, err
	}
	d := dissect.New(dissect.Options{Keys: keys})
	watched := &watchedSource{ctx: ctx, source: source, progress: newProgress(app, source)}
	r := &reading{app: app, events: d.Events(watched), filter: selected, live: live, begun: time.Now()}
	r.counter, _ = source.(capture.Counter)
	return r, nil
}

// loadKeys gives the key tables, nil where none were named. Lines that could
// not be read are said on standard error, and the others used.
func (o *ReadOptions) loadKeys(app *App) (*keylog.Tables, error) {
	if len(o.Keys) == 0 {
		return nil, nil
	}
	keys, err := keylog.Load(o.Keys)
	switch {
	case err == nil:
		return keys, nil
	case !onlyLines(err):
		return nil, &unreachableError{err}
	}
	app.warn(err)
	return keys, nil
}

// onlyLines says that err is about nothing but lines of key tables.
func onlyLines(err error) bool {
	parts := []error{err}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		parts = all.Unwrap()
	}
	for _, part := range parts {
		var line *keylog.LineError
		if !errors.As(part, &line) {
			return false
		}
	}
	return true
}

// each calls f for every event that the filter lets through. It goes on
// behind a fault of the file to what else is readable, and gives the faults
// at the end; an error of f and an interrupt end it at once.
func (r *reading) each(ctx context.Context, f func(*event.Event) error) error {
	var faults []error
	for e, err := range r.events {
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if !r.filter.Match(e) {
			continue
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.app.Log.Info("capture read", "seconds", time.Since(r.begun).Seconds())
	return errors.Join(faults...)
}

// fold reads everything into tables. The tables are good also where an error
// is given: they hold what was readable.
func (r *reading) fold(ctx context.Context, opts trace.Options) (*trace.Trace, error) {
	t := trace.New(opts)
	err := r.each(ctx, func(e *event.Event) error {
		t.Add(e)
		return nil
	})
	return t, err
}

// sourceName names capture files as the source of a document.
func sourceName(files []string) string { return "pcap:" + strings.Join(files, ",") }

// shortName names capture files in a heading.
func shortName(files []string) string {
	if len(files) == 1 {
		if files[0] == "-" {
			return "standard input"
		}
		return filepath.Base(files[0])
	}
	return fmt.Sprintf("%d files", len(files))
}

// interruptible gives a reader that an interrupt ends, even while in waits.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	out, feed := io.Pipe()
	context.AfterFunc(ctx, func() { out.CloseWithError(ctx.Err()) })
	go func() {
		// The pipe carries the error of either side to the other.
		_, err := io.Copy(feed, in)
		feed.CloseWithError(err)
	}()
	return out
}
