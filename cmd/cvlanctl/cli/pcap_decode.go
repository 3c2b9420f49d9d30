package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// DecodeOptions is what pcap decode takes.
type DecodeOptions struct {
	ReadOptions
	Files   []string
	Verbose bool // every field as a tree
	Hex     bool // the octets
}

// NewCmdPcapDecode makes `cvlanctl pcap decode`.
func NewCmdPcapDecode(app *App, runF func(context.Context, *DecodeOptions) error) *cobra.Command {
	opts := &DecodeOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *DecodeOptions) error { return runDecode(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "decode FILE...",
		Short: "Show every frame of IKE, ESP, AH and NAT keepalives",
		Long: `Show every frame of IKE, ESP, AH and NAT keepalives: one readable line a
frame, with --verbose every field, with --hex the octets. FILE is a pcap or
pcapng, plain or gzipped, or - for standard input; several are read one after
another. A damaged file gives what is readable, then an error and exit code 1.`,
		Example: `  cvlanctl pcap decode trace.pcap
  cvlanctl pcap decode --verbose --hex --filter frame=3 trace.pcap
  cvlanctl pcap decode --keys ~/.config/wireshark trace.pcap
  cvlanctl pcap decode -o jsonl trace.pcap.gz | jq 'select(.ike.exchange=="IKE_AUTH")'`,
		Args:              atLeastOneFile,
		ValidArgsFunction: completeCapture,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Files = args
			return runF(cmd.Context(), opts)
		},
	}
	opts.flags(cmd)
	cmd.Flags().BoolVarP(&opts.Verbose, "verbose", "v", false, "every field of every payload, as -o wide")
	cmd.Flags().BoolVarP(&opts.Hex, "hex", "x", false, "the octets of every packet")
	return cmd
}

func runDecode(ctx context.Context, app *App, o *DecodeOptions) error {
	if !app.Output.Text() && (o.Verbose || o.Hex) {
		return usagef("--verbose and --hex are for text; -o %s holds every field already", app.Output)
	}
	r, err := o.open(ctx, app, o.Files)
	if err != nil {
		return err
	}
	return decode(ctx, app, r, newFrameWriter(app, o, sourceName(o.Files)))
}

// decode writes every event of r. What was written before a fault stays a
// whole document.
func decode(ctx context.Context, app *App, r *reading, w frameWriter) error {
	out := print.NewStream(app.Term.Out, r.live || app.Term.OutTTY)
	buf := w.begin(make([]byte, 0, 64<<10))
	failed := r.each(ctx, func(e *event.Event) error {
		buf = w.event(buf, e)
		if len(buf) == 0 {
			return nil
		}
		_, err := out.Write(buf)
		buf = buf[:0]
		return err
	})
	_, err := out.Write(w.end(buf))
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("writing the frames: %w", err)
	}
	return failed
}

// frameWriter puts events into one form of output. Its methods append to b.
type frameWriter interface {
	begin(b []byte) []byte
	event(b []byte, e *event.Event) []byte
	end(b []byte) []byte
}

func newFrameWriter(app *App, o *DecodeOptions, source string) frameWriter {
	switch app.Output {
	case print.JSONL:
		return jsonLines{}
	case print.JSON:
		return &jsonDocument{source: source}
	case print.YAML:
		return &yamlDocument{source: source}
	}
	return &textLines{term: app.Term, verbose: o.Verbose || app.Output == print.Wide, hex: o.Hex}
}

// jsonLines writes one object a line.
type jsonLines struct{}

func (jsonLines) begin(b []byte) []byte { return b }
func (jsonLines) end(b []byte) []byte   { return b }
func (jsonLines) event(b []byte, e *event.Event) []byte {
	n := len(b)
	if b = event.AppendJSON(b, e); len(b) > n {
		b = append(b, '\n')
	}
	return b
}

// jsonDocument writes one document, frame by frame.
type jsonDocument struct {
	source string
	frames int
}

func (d *jsonDocument) begin(b []byte) []byte {
	b = append(b, `{"schema":"cvlanctl/decode/v1","source":`...)
	b = event.AppendString(b, d.source)
	return append(b, `,"frames":[`...)
}

func (d *jsonDocument) event(b []byte, e *event.Event) []byte {
	n := len(b)
	if d.frames > 0 {
		b = append(b, ',')
	}
	b = append(b, '\n')
	before := len(b)
	if b = event.AppendJSON(b, e); len(b) == before {
		return b[:n]
	}
	d.frames++
	return b
}

func (d *jsonDocument) end(b []byte) []byte { return append(b, "\n]}\n"...) }

// yamlDocument writes the same document as YAML.
type yamlDocument struct {
	source  string
	frames  int
	scratch []byte
}

func (d *yamlDocument) begin(b []byte) []byte {
	b = append(b, "schema: cvlanctl/decode/v1\nsource: "...)
	b = event.AppendString(b, d.source)
	return append(b, "\nframes:"...)
}

func (d *yamlDocument) event(b []byte, e *event.Event) []byte {
	d.scratch = event.AppendJSON(d.scratch[:0], e)
	if len(d.scratch) == 0 {
		return b
	}
	text, err := print.ToYAML(d.scratch)
	if err != nil {
		// JSON is YAML: what the library cannot turn stands as it is.
		text = append(slices.Clone(d.scratch), '\n')
	}
	lead := "\n- "
	d.frames++
	for line := range lines(text) {
		b = append(b, lead...)
		b = append(b, line...)
		lead = "\n  "
	}
	return b
}

func (d *yamlDocument) end(b []byte) []byte {
	if d.frames == 0 {
		b = append(b, " []"...)
	}
	return append(b, '\n')
}
