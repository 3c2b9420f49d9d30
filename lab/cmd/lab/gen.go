package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/cloudvlan/cvlanctl/lab/gen"
)

func generate(_ context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	frames := flags.Int64("frames", 1000, "how many frames")
	sas := flags.Int("sas", gen.DefaultSAs, "IKE SAs alive at once")
	seed := flags.Uint64("seed", 1, "another seed gives another capture of the same kind")
	path := flags.String("o", "", "file to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *path == "" {
		return errors.New("gen: -o names no file")
	}
	f, err := os.Create(*path)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return gen.Write(f, gen.Options{Frames: *frames, SAs: *sas, Seed: *seed})
}
