// Command gendocs writes the pages of docs that are made from the program
// itself: a page and a man page for every command, the catalogue of diagnoses,
// and the keys of the screen; and the page of what was seen with real peers, from
// the rows in testdata/interop beside docs. With -check it writes nothing and
// fails where a page is stale.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/tui"
)

func main() {
	check := flag.Bool("check", false, "write nothing; fail where a page is not fresh")
	dir := flag.String("dir", "docs", "the folder of the documentation")
	flag.Parse()
	if err := run(*dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// folders hold generated pages and nothing else, so that a page whose command
// is gone can be told.
var folders = []string{"commands", "man"}

func run(dir string, check bool) error {
	pages, err := generate(dir)
	if err != nil {
		return err
	}
	stale, err := compare(dir, pages)
	if err != nil {
		return err
	}
	if check {
		if len(stale) > 0 {
			return fmt.Errorf("not fresh, `make docs` writes them: %s", strings.Join(stale, ", "))
		}
		return nil
	}
	for _, name := range stale {
		path := filepath.Join(dir, filepath.FromSlash(name))
		page, ok := pages[name]
		if !ok {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("page of a command that is gone: %w", err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("folder for pages: %w", err)
		}
		if err := os.WriteFile(path, page, 0o644); err != nil {
			return fmt.Errorf("writing a page: %w", err)
		}
	}
	return nil
}

// compare names the pages that are missing, different, or no longer made.
func compare(dir string, pages map[string][]byte) ([]string, error) {
	var stale []string
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		have, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading a page: %w", err)
		}
		if err != nil || !bytes.Equal(have, pages[name]) {
			stale = append(stale, name)
		}
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading a folder of pages: %w", err)
		}
		for _, e := range entries {
			if name := folder + "/" + e.Name(); pages[name] == nil {
				stale = append(stale, name)
			}
		}
	}
	return stale, nil
}

// generate makes all pages, by their path under docs, the folder dir.
func generate(dir string) (map[string][]byte, error) {
	t, _, _ := term.Test("", nil)
	root := cli.NewCmdRoot(cli.NewApp(t))
	root.DisableAutoGenTag = true
	pages := map[string][]byte{"findings.md": []byte(diag.Markdown(rule.All())), "keys.md": []byte(tui.KeysMarkdown())}
	rows, err := interop.Read(filepath.Join(dir, "..", "testdata", "interop"))
	if err != nil {
		return nil, err
	}
	pages["interop.md"] = interop.Page(rows)
	if err := commands(root, pages); err != nil {
		return nil, err
	}
	return pages, nil
}

// manDate stands on the man pages: a fixed date keeps them the same from
// build to build.
var manDate = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// commands makes the pages of a command and of those under it.
func commands(cmd *cobra.Command, pages map[string][]byte) error {
	cmd.InitDefaultHelpFlag()
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "_")
	var b bytes.Buffer
	if err := doc.GenMarkdown(cmd, &b); err != nil {
		return fmt.Errorf("page of %q: %w", cmd.CommandPath(), err)
	}
	pages["commands/"+name+".md"] = tidy(b.Bytes())
	var m bytes.Buffer
	header := &doc.GenManHeader{Title: strings.ToUpper(strings.ReplaceAll(name, "_", "-")), Section: "1", Date: &manDate, Source: "cvlanctl", Manual: "cvlanctl"}
	if err := doc.GenMan(cmd, header, &m); err != nil {
		return fmt.Errorf("man page of %q: %w", cmd.CommandPath(), err)
	}
	pages["man/"+strings.ReplaceAll(name, "_", "-")+".1"] = tidy(m.Bytes())
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() || sub.Name() == "help" {
			continue
		}
		if err := commands(sub, pages); err != nil {
			return err
		}
	}
	return nil
}

// tidy ends a page with exactly one line end.
func tidy(b []byte) []byte { return append(bytes.TrimRight(b, "\n"), '\n') }
