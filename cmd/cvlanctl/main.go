// Command cvlanctl reads, explains and repairs IPsec tunnels from a terminal.
package main

import (
	"os"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
)

func main() { os.Exit(cli.Run(os.Args[1:], term.System())) }
