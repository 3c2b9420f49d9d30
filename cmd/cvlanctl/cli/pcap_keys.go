package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/capture/keylog/charonlog"
)

// PcapKeysOptions is what pcap keys takes.
type PcapKeysOptions struct {
	Files      []string
	KeyDir     string
	AnyAddress bool
}

// NewCmdPcapKeys makes `cvlanctl pcap keys`.
func NewCmdPcapKeys(app *App, runF func(context.Context, *PcapKeysOptions) error) *cobra.Command {
	opts := &PcapKeysOptions{}
	if runF == nil {
		runF = func(_ context.Context, o *PcapKeysOptions) error { return runPcapKeys(app, o) }
	}
	cmd := &cobra.Command{
		Use:   "keys LOG... --key-dir DIR",
		Short: "Make key tables out of a strongSwan's log",
		Long: `Find the keys in logs that a charon wrote with its groups ike and chd at level 4
and mgr at level 2, and write them as Wireshark's key tables, which --keys of the
other pcap commands takes too. The tables open all traffic of these SAs.`,
		Example: `  cvlanctl pcap keys /var/log/charon.log --key-dir keys/
  cvlanctl pcap decode --keys keys/ trace.pcap`,
		Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Files = args
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.KeyDir, "key-dir", "", "the folder to write the tables into")
	cmd.Flags().BoolVar(&opts.AnyAddress, "any-address", false, "for captures taken behind a NAT: ESP keys go by SPI alone")
	return cmd
}

func runPcapKeys(app *App, o *PcapKeysOptions) error {
	if o.KeyDir == "" {
		return usagef("--key-dir is missing: the folder to write the tables into")
	}
	var all charonlog.Keys
	for _, name := range o.Files {
		keys, err := logKeys(app, name)
		if err != nil {
			return err
		}
		all.IKE = append(all.IKE, keys.IKE...)
		all.IKEv1 = append(all.IKEv1, keys.IKEv1...)
		all.ESP = append(all.ESP, keys.ESP...)
	}
	if len(all.IKE)+len(all.IKEv1)+len(all.ESP) == 0 {
		return errors.New("no key in these logs\ncharon tells keys with 'ike = 4', 'chd = 4' and 'mgr = 2' in its filelog section of strongswan.conf")
	}
	if err := os.MkdirAll(o.KeyDir, 0o700); err != nil {
		return fmt.Errorf("folder for the key tables: %w", err)
	}
	if err := (charonlog.Tables{AnyAddress: o.AnyAddress}).Write(o.KeyDir, all); err != nil {
		return fmt.Errorf("key tables: %w", err)
	}
	_, err := fmt.Fprintf(app.Term.Out, "%s, %s and %s in %s; they open all traffic of these SAs\n",
		plural(int64(len(all.IKE)), "IKEv2 SA"), plural(int64(len(all.IKEv1)), "IKEv1 SA"), plural(int64(len(all.ESP)), "ESP SA"), o.KeyDir)
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

func logKeys(app *App, name string) (charonlog.Keys, error) {
	var in io.Reader = app.Term.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return charonlog.Keys{}, &unreachableError{fmt.Errorf("log: %w", err)}
		}
		defer func() { _ = f.Close() }() // read only: nothing can be lost
		in = f
	}
	keys, err := charonlog.Parse(in)
	if err != nil {
		return keys, fmt.Errorf("log %s: %w", name, err)
	}
	return keys, nil
}
