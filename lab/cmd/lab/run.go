package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/cloudvlan/cvlanctl/lab"
)

func list(_ context.Context, _ []string) error {
	for _, s := range lab.Scenarios() {
		fmt.Printf("%-36s %s\n", s.Name, s.Shows)
	}
	return nil
}

// pick gives the scenarios of those names, or all where no name is given.
func pick(names []string) ([]lab.Scenario, error) {
	if len(names) == 0 {
		return lab.Scenarios(), nil
	}
	var picked []lab.Scenario
	for _, name := range names {
		s, ok := lab.Find(name)
		if !ok {
			return nil, fmt.Errorf("no scenario %q; lab list names them", name)
		}
		picked = append(picked, s)
	}
	return picked, nil
}

func runScenarios(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	dir := flags.String("o", "build/lab", "folder for captures, keys and logs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	scenarios, err := pick(flags.Args())
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range scenarios {
		rec, err := lab.Run(ctx, s, *dir)
		if err != nil {
			fmt.Println("FAIL", s.Name, err)
			failed = append(failed, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		fmt.Printf("ok   %s: %s, keys of %d IKE and %d ESP SAs\n", s.Name, rec.Capture,
			len(rec.Keys.IKE)+len(rec.Keys.IKEv1), len(rec.Keys.ESP))
	}
	return errors.Join(failed...)
}

func ensure(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("ensure", flag.ContinueOnError)
	guests := flags.Bool("guests", true, "also download and unpack what guests with a second kernel need")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := lab.Ensure(ctx); err != nil {
		return err
	}
	if !*guests {
		return nil
	}
	return lab.EnsureGuests(ctx)
}

func sweep(ctx context.Context, _ []string) error {
	gone, err := lab.Sweep(ctx)
	for _, name := range gone {
		fmt.Println("removed", name)
	}
	return err
}
