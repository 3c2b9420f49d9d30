package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudvlan/cvlanctl/lab"
)

// corpus is where the repository keeps its captures.
const corpus = "testdata/captures"

// captures records scenarios in a working folder and moves what is complete
// into the corpus, so that a failing run leaves the corpus as it was.
func captures(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("captures", flag.ContinueOnError)
	dir := flags.String("o", corpus, "folder of the corpus")
	if err := flags.Parse(args); err != nil {
		return err
	}
	scenarios, err := pick(flags.Args())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	work, err := os.MkdirTemp("", "cvl-captures-")
	if err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	manifest, err := lab.ReadManifest(*dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range scenarios {
		rec, err := lab.Run(ctx, s, work)
		if err == nil {
			err = adopt(rec, *dir)
		}
		if err != nil {
			fmt.Println("FAIL", s.Name, err)
			failed = append(failed, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		manifest.Put(rec.Entry)
		fmt.Println("ok  ", s.Name)
	}
	var names []string
	for _, s := range lab.Scenarios() {
		names = append(names, s.Name)
	}
	manifest.Sort(names)
	return errors.Join(append(failed, manifest.Write(*dir))...)
}

// adopt copies a recording into the corpus, in place of an older one.
func adopt(rec lab.Recording, dir string) error {
	text, err := os.ReadFile(rec.Capture)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, rec.Entry.File), text, 0o644); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	keys := filepath.Join(dir, rec.Entry.Name+".keys")
	if err := os.RemoveAll(keys); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	if rec.KeysDir == "" {
		return nil
	}
	if err := os.CopyFS(keys, os.DirFS(rec.KeysDir)); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	return nil
}

// verify decrypts every capture of the corpus with tshark and its key tables.
func verify(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	dir := flags.String("o", corpus, "folder of the corpus")
	if err := flags.Parse(args); err != nil {
		return err
	}
	manifest, err := lab.ReadManifest(*dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, e := range manifest.Captures {
		keys := ""
		if e.Keys != "" {
			keys = filepath.Join(*dir, e.Keys)
		}
		d, kept, err := lab.Decrypt(ctx, filepath.Join(*dir, e.File), keys)
		verdict := "ok  "
		switch {
		case err != nil:
			verdict, failed = "FAIL", append(failed, err)
		case kept > 0:
			verdict = "part"
		case !d.Complete():
			verdict = "FAIL"
			failed = append(failed, fmt.Errorf("%s: tshark did not open everything", e.Name))
		}
		fmt.Printf("%s %-34s IKE %d/%d ESP %d/%d malformed %d, %d rows beyond tshark\n",
			verdict, e.Name, d.IKEOpen, d.IKE, d.ESPOpen, d.ESP, d.Malformed, kept)
	}
	return errors.Join(failed...)
}
