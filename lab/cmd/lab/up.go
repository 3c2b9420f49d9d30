package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/cloudvlan/cvlanctl/lab"
)

// up leaves a scenario as its traffic left it, to be looked at, until it is
// interrupted.
func up(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("up: give the name of one scenario; lab list names them")
	}
	scenarios, err := pick(flags.Args())
	if err != nil {
		return err
	}
	s := scenarios[0]
	dir, err := os.MkdirTemp("", "lab-up-")
	if err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := lab.NewBench(ctx, s, dir)
	defer func() { err = errors.Join(err, b.Close()) }()
	if err != nil {
		return err
	}
	if b.HostA != lab.Host(b.NSA) {
		return fmt.Errorf("up: %s runs in guests, which nobody can enter", s.Name)
	}
	if s.Prepare != nil {
		if err := s.Prepare(ctx, b); err != nil {
			return fmt.Errorf("preparing: %w", err)
		}
	}
	act := s.Act
	if act == nil {
		act = lab.BringUpAndPing
	}
	if err := act(ctx, b); err != nil {
		fmt.Println("not as planned:", err) // what there is can be looked at all the same
	}
	for _, end := range []struct {
		role   string
		ns     *lab.NS
		daemon *lab.Daemon
	}{{"initiator", b.NSA, b.A}, {"responder", b.NSB, b.B}} {
		if end.daemon == nil {
			fmt.Printf("%s:  ip netns exec %s sh\n", end.role, end.ns.Name)
			continue
		}
		fmt.Printf("%s:  ip netns exec %s cvlanctl ipsec status --source vici:%s\n", end.role, end.ns.Name, end.daemon.Socket())
	}
	fmt.Println("interrupt to take it all down")
	<-ctx.Done()
	return nil
}
