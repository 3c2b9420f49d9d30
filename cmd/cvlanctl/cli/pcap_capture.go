package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// CaptureOptions is what pcap capture takes.
type CaptureOptions struct {
	ReadOptions
	Interface   string
	Write       string // file for the frames, "" for none, - for standard output
	Duration    time.Duration
	Count       int64
	Ports       []uint
	Tunnels     bool
	All         bool
	Promiscuous bool
}

// NewCmdPcapCapture makes `cvlanctl pcap capture`.
func NewCmdPcapCapture(app *App, runF func(context.Context, *CaptureOptions) error) *cobra.Command {
	opts := &CaptureOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *CaptureOptions) error { return runCapture(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "capture -i IFACE",
		Short: "Capture IKE, ESP and AH live, and decode as it comes (Linux)",
		Long: `Capture IKE, ESP, AH and the ICMP errors about them on a network interface, with
a filter in the kernel, and decode as it comes. With -w the frames are written
as pcapng as well. Needs root or the capability CAP_NET_RAW. Frames that the
kernel had no room for are counted on standard error at the end.`,
		Example: `  cvlanctl pcap capture -i eth0
  cvlanctl pcap capture -i any -w tunnel.pcapng --duration 1m
  cvlanctl pcap capture -i eth0 -o jsonl --count 10`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.flags(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&opts.Interface, "interface", "i", "", "network interface, or any")
	fs.StringVarP(&opts.Write, "write", "w", "", "write the frames to this pcapng FILE; - is standard output, without decoding")
	fs.DurationVar(&opts.Duration, "duration", 0, "stop after this time, such as 30s")
	fs.Int64Var(&opts.Count, "count", 0, "stop after this many captured frames")
	fs.UintSliceVar(&opts.Ports, "port", nil, "a further UDP or TCP port that carries IKE or ESP; can be repeated")
	fs.BoolVar(&opts.Tunnels, "tunnels", false, "look inside GRE, IP in IP and VXLAN too")
	fs.BoolVar(&opts.All, "all", false, "capture every frame, without the filter in the kernel")
	fs.BoolVar(&opts.Promiscuous, "promiscuous", false, "ask the interface for frames to other stations too")
	complete(cmd, "interface", completeInterface)
	return cmd
}

func completeInterface(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names := []string{"any"}
	if all, err := net.Interfaces(); err == nil {
		for _, i := range all {
			names = append(names, i.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// check gives the options of the capture, or what is wrong with the command
// line.
func (o *CaptureOptions) check() (capture.LiveOptions, error) {
	live := capture.LiveOptions{Tunnels: o.Tunnels, All: o.All, Promiscuous: o.Promiscuous}
	switch {
	case o.Interface == "":
		return live, usagef("no interface is named; -i IFACE, or -i any")
	case o.Duration < 0:
		return live, usagef("--duration %s is negative", o.Duration)
	case o.Count < 0:
		return live, usagef("--count %d is negative", o.Count)
	}
	for _, p := range o.Ports {
		if p == 0 || p > 1<<16-1 {
			return live, usagef("--port %d is no port", p)
		}
		live.Ports = append(live.Ports, uint16(p))
	}
	return live, nil
}

func runCapture(ctx context.Context, app *App, o *CaptureOptions) (err error) {
	live, err := o.check()
	if err != nil {
		return err
	}
	ends, cancel := ctx, context.CancelFunc(func() {})
	if o.Duration > 0 {
		ends, cancel = context.WithTimeout(ctx, o.Duration)
	}
	defer cancel()
	source, err := capture.Live(ends, o.Interface, live)
	switch {
	case err != nil && runtime.GOOS == "linux" && exitCode(err) != exitPermission:
		return &unreachableError{err}
	case err != nil:
		return err
	}
	tapped := &tap{source: source, count: o.Count}
	if o.Write != "" {
		file, err := o.create(app)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		tapped.out, err = capture.NewWriter(file, capture.WriterOptions{
			Application: "cvlanctl " + version, Interface: o.Interface, Filter: live.Filter(),
		})
		if err != nil {
			return fmt.Errorf("writing %s: %w", o.Write, err)
		}
	}
	r, err := o.read(ctx, app, tapped, true)
	if err != nil {
		return err
	}
	app.Log.Info("capturing", "interface", o.Interface, "filter", live.Filter())
	if o.Write == "-" {
		err = r.each(ctx, func(*event.Event) error { return nil })
	} else {
		err = decode(ctx, app, r, newFrameWriter(app, &DecodeOptions{}, "live:"+o.Interface))
	}
	return errors.Join(err, tapped.close(app))
}

// create opens the file for the frames.
func (o *CaptureOptions) create(app *App) (io.WriteCloser, error) {
	if o.Write == "-" {
		if app.Term.OutTTY {
			return nil, usagef("a capture is not for a terminal; name a file, or pipe it on")
		}
		return unclosed{app.Term.Out}, nil
	}
	f, err := os.Create(o.Write)
	if err != nil {
		return nil, fmt.Errorf("file for the frames: %w", err)
	}
	return f, nil
}

// unclosed is a writer that somebody else closes.
type unclosed struct{ io.Writer }

// Close does nothing.
func (unclosed) Close() error { return nil }

// tap passes frames on, writes them to a file, and ends after a number of
// them.
type tap struct {
	source capture.Source
	out    *capture.Writer // nil for none
	count  int64           // 0 for no end
	seen   int64
	failed error // of writing
}

// tapFlush is how often what was written reaches the file.
const tapFlush = time.Second

// Frames yields the frames of the source.
func (t *tap) Frames() iter.Seq2[capture.Frame, error] {
	return func(yield func(capture.Frame, error) bool) {
		flushed := time.Now()
		for f, err := range t.source.Frames() {
			if err == nil && t.out != nil {
				if t.failed = t.out.Write(f); t.failed != nil {
					return
				}
				if now := time.Now(); now.Sub(flushed) >= tapFlush {
					flushed = now
					if t.failed = t.out.Flush(); t.failed != nil {
						return
					}
				}
			}
			if !yield(f, err) {
				return
			}
			if t.seen++; t.seen == t.count {
				return
			}
		}
	}
}

// close writes what is left and says how much was captured and lost.
func (t *tap) close(app *App) error {
	err := t.failed
	if err == nil && t.out != nil {
		err = t.out.Flush()
	}
	dropped := int64(0)
	if c, ok := t.source.(capture.Counter); ok {
		dropped = c.Stats().Dropped
	}
	fmt.Fprintf(app.Term.Err, "cvlanctl: %d frames captured, %d dropped by the kernel\n", t.seen, dropped)
	if err != nil {
		return fmt.Errorf("writing the frames: %w", err)
	}
	return nil
}
