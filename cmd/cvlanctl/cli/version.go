package cli

import (
	"crypto/fips140"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
)

// version is set by the linker; a build without it says "devel".
var version = "devel"

// VersionOptions is what version takes: nothing.
type VersionOptions struct{}

// NewCmdVersion makes `cvlanctl version`.
func NewCmdVersion(app *App, runF func(*VersionOptions) error) *cobra.Command {
	if runF == nil {
		runF = func(o *VersionOptions) error { return runVersion(app, o) }
	}
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, Go, FIPS mode and build",
		Example: `  cvlanctl version
  cvlanctl version -o json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return runF(&VersionOptions{}) },
	}
}

func runVersion(app *App, _ *VersionOptions) error {
	v := doc.Version{
		Schema:  doc.VersionSchema,
		Version: version,
		Go:      runtime.Version(),
		OS:      runtime.GOOS,
		Arch:    runtime.GOARCH,
		FIPS:    fips140.Enabled(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.time":
				v.CommitTime = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if !app.Output.Text() {
		return print.Document(app.Term.Out, app.Output, v, []doc.Version{v})
	}
	fips := "off"
	if v.FIPS {
		fips = "on"
	}
	text := fmt.Sprintf("cvlanctl %s\n%s %s/%s, FIPS 140-3 mode %s\n", v.Version, v.Go, v.OS, v.Arch, fips)
	if v.Commit != "" {
		modified := ""
		if v.Modified {
			modified = ", modified"
		}
		text += fmt.Sprintf("commit %s of %s%s\n", v.Commit, v.CommitTime, modified)
	}
	if _, err := app.Term.Out.Write([]byte(text)); err != nil {
		return fmt.Errorf("writing the version: %w", err)
	}
	return nil
}
