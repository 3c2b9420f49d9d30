package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// complete sets what the shell offers as a flag's value. It panics where the
// command has no such flag: that is a mistake in this package.
func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// words offers fixed words.
func words(list ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// captureNames are the endings of capture files.
var captureNames = []string{"pcap", "pcapng", "cap", "gz"}

// completeCapture offers capture files.
func completeCapture(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return captureNames, cobra.ShellCompDirectiveFilterFileExt
}

// completeSource offers the kinds of source, and files behind pcap:.
func completeSource(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if strings.HasPrefix(typed, "pcap:") {
		return captureNames, cobra.ShellCompDirectiveFilterFileExt
	}
	if strings.HasPrefix(typed, "vici:/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return []string{"auto", "vici", "vici:", "engine", "engine:", "pcap:"}, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}
