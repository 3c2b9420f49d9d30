package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
)

// TestMain lets the scripts run the program itself: testscript starts this
// test binary again under the name cvlanctl.
func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){
		"cvlanctl": func() { os.Exit(cli.Run(os.Args[1:], term.System())) },
	})
}

// tidy removes the built program after the tests.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	code := t.M.Run()
	if built != "" && os.RemoveAll(filepath.Dir(built)) != nil && code == 0 {
		code = 1
	}
	return code
}

// TestScripts runs the program end to end, as a user's shell would.
func TestScripts(t *testing.T) {
	captures, err := filepath.Abs("../../testdata/captures")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("CAPTURES", captures)
			env.Setenv("ODD", "odd\x1b[31m.pcapng") // a file name that steers a terminal
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"shorten":  shorten,
			"hostile":  writeHostile,
			"shows":    shows,
			"noescape": noEscape,
			"tells":    tells,
		},
	})
}

// exits runs a command and holds its exit code against the one named:
//
//	exits 2 cvlanctl bogus
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want := args[0]
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = exitStatus(err)
	}
	if got != want {
		ts.Fatalf("exit code %s, want %s", got, want)
	}
}

// tells runs a command until what it writes has all of these patterns, and then
// interrupts it:
//
//	tells PATTERN... -- COMMAND...
func tells(ts *testscript.TestScript, neg bool, args []string) {
	end := slices.Index(args, "--")
	if neg || end < 1 || end == len(args)-1 {
		ts.Fatalf("usage: tells PATTERN... -- COMMAND...")
	}
	var patterns []*regexp.Regexp
	for _, p := range args[:end] {
		patterns = append(patterns, regexp.MustCompile("(?m)"+p))
	}
	path := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, args[end+1]); path == "" {
			if _, err := os.Stat(p); err == nil {
				path = p
			}
		}
	}
	cmd := exec.Command(path, args[end+2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME")}
	out, errs, err := untilTold(cmd, func(out string) bool {
		return !slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return !p.MatchString(out) })
	})
	_, _ = io.WriteString(ts.Stdout(), out) // into memory
	_, _ = io.WriteString(ts.Stderr(), errs)
	if err == nil || exitStatus(err) != "130" {
		ts.Fatalf("interrupted, it ended with %v: %s%s", err, out, errs)
	}
}

// untilTold runs a program until enough is told by its output, interrupts it, and
// gives what it wrote and how it ended.
func untilTold(cmd *exec.Cmd, enough func(out string) bool) (out, errs string, err error) {
	var told, complaints lockedBuffer
	cmd.Stdout, cmd.Stderr = &told, &complaints
	if err := cmd.Start(); err != nil {
		return "", "", err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(2 * patience); !enough(told.String()); {
		select {
		case err := <-done:
			return told.String(), complaints.String(), fmt.Errorf("it ended by itself: %w", err)
		case <-limit:
			_ = cmd.Process.Kill()
			return told.String(), complaints.String(), errors.Join(errors.New("it does not tell enough"), <-done)
		case <-tick.C:
		}
	}
	_ = cmd.Process.Signal(os.Interrupt) // it may have just ended
	err = <-done
	return told.String(), complaints.String(), err
}

// shows runs cvlanctl, with or without findings, and holds what it writes to
// printable characters.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: shows ARGUMENT...")
	}
	if err := ts.Exec("cvlanctl", args...); err != nil && exitStatus(err) != "3" {
		ts.Fatalf("exit code %s", exitStatus(err))
	}
	noEscape(ts, false, []string{"stdout", "stderr"})
}

// shorten writes the first octets of a file: shorten 100 FROM TO.
func shorten(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: shorten OCTETS FROM TO")
	}
	data, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	n := atoi(ts, args[0])
	if n > len(data) {
		ts.Fatalf("%s has %d octets only", args[1], len(data))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), data[:n], 0o644))
}

// writeHostile writes a capture whose vendor id, notify data, identity and
// certificate hold escape sequences, and the key table that opens it.
func writeHostile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hostile CAPTURE KEYS")
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	w, err := capture.NewWriter(f, capture.WriterOptions{})
	ts.Check(err)
	keys, err := hostileFrames(w)
	ts.Check(err)
	ts.Check(w.Flush())
	ts.Check(f.Close())
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[1])), 0o700))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), keys, 0o600))
}
