// Package beside is the frame of the programs that measure us beside other
// implementations of the same: what they do before and after they measure, and
// how they sum up. Whatever is compared takes turns in one run, medians count,
// and how far the single figures lie apart is told.
package beside

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/cloudvlan/cvlanctl/internal/bench/section"
	"github.com/cloudvlan/cvlanctl/lab"
)

// Session is what a measurement gets.
type Session struct {
	Dir        string // for its files, removed afterwards
	StrongSwan string // the version of the peer
}

// Main is the main function of a program that measures. It reads the flags, sees
// to it that the lab is installed, and writes what measure returns as a section
// of the page; nothing is written where that is empty. An interrupt ends the
// context; what is whole by then may be returned all the same, see Rounds.
func Main(heading string, measure func(ctx context.Context, s *Session) (body string, err error)) {
	page := flag.String("o", "docs/performance.md", "the page to write, empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends it at once
	if err := run(ctx, *page, heading, measure); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, page, heading string, measure func(context.Context, *Session) (string, error)) (err error) {
	if err := lab.Ensure(ctx); err != nil {
		return err
	}
	s := &Session{}
	if s.StrongSwan, err = lab.StrongSwanVersion(ctx); err != nil {
		return err
	}
	if s.Dir, err = os.MkdirTemp("", "cvlanctl-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()
	body, err := measure(ctx, s)
	if body == "" {
		return err
	}
	// An error beside a body is about what had to be done after it.
	fmt.Print("\n", body)
	if page == "" {
		return err
	}
	return errors.Join(err, section.Write(page, "Performance", heading, body))
}
