// Command barecobra is a cobra program that does nothing but print a line: the
// measure for how fast a program with a command tree can start.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{Use: "barecobra"}
	root.AddCommand(&cobra.Command{Use: "version", Run: func(*cobra.Command, []string) { fmt.Println("barecobra 1") }})
	if err := root.Execute(); err != nil {
		os.Exit(1)
	}
}
