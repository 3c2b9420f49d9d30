// Command lab runs real IPsec peers against each other in network namespaces
// and records the capture corpus of this repository. See lab/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: lab COMMAND [options]

  list                          name every scenario
  ensure                        install what the lab needs (Debian, root)
  run [-o DIR] NAME...          run scenarios, keep captures, keys and logs in DIR
  up NAME                       run a scenario, and leave its peers there until interrupted
  captures [-o DIR] [NAME...]   record the corpus, or a part of it, with its manifest
  verify [-o DIR]               decrypt the corpus with tshark
  gen -frames N -o FILE         write a synthetic capture
  host                          write what the diagnosis sees of this host, as JSON
  sweep                         remove what killed runs left
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("no such command; run lab without arguments for help")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Print(usage)
		return nil
	}
	commands := map[string]func(context.Context, []string) error{
		"list": list, "run": runScenarios, "up": up, "captures": captures, "verify": verify, "gen": generate, "ensure": ensure, "sweep": sweep, "host": host,
	}
	f, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("%s: %w", args[0], errUsage)
	}
	return f(ctx, args[1:])
}
