// Command testrun runs go test and says at the end which tests were skipped
// and why. Where CI=true a skipped test is a failure: there, everything that
// tests need is installed. Arguments are passed on to go test.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	code, err := run(os.Args[1:], os.Stdout, os.Getenv("CI") == "true")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
	}
	os.Exit(code)
}

// action is one line of go test -json.
type action struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// limit is how long the tests of one package may take, unless the arguments say
// otherwise: go test's own ten minutes are too few for a loaded machine under
// the race detector.
const limit = "-timeout=30m"

// run runs go test and gives its exit code, or 1 where a test was skipped
// that must not be.
func run(args []string, out io.Writer, strict bool) (int, error) {
	cmd := exec.Command("go", append([]string{"test", "-json", limit}, args...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := report{out: out, lines: map[string][]string{}}
	if err := r.read(pipe); err != nil {
		return 1, errors.Join(err, cmd.Wait())
	}
	code := 0
	if err := cmd.Wait(); err != nil {
		code = 1
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return code, err
		}
	}
	r.summary()
	if strict && len(r.skipped) > 0 {
		return 1, errors.New("CI=true, and tests were skipped")
	}
	return code, nil
}

// report collects what go test says.
type report struct {
	out     io.Writer
	lines   map[string][]string // output by package and test
	skipped []string
	failed  []string
	passed  int
}

// maxLine bounds one line of go test -json.
const maxLine = 16 << 20

func (r *report) read(in io.Reader) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, maxLine)
	for scan.Scan() {
		var a action
		if err := json.Unmarshal(scan.Bytes(), &a); err != nil {
			// What the go command says itself, such as a build failure.
			fmt.Fprintln(r.out, scan.Text())
			continue
		}
		r.add(&a)
	}
	return scan.Err()
}

func (r *report) add(a *action) {
	key := a.Package + " " + a.Test
	switch a.Action {
	case "output", "build-output":
		if a.Action == "build-output" {
			fmt.Fprint(r.out, a.Output)
			return
		}
		r.lines[key] = append(r.lines[key], a.Output)
	case "pass":
		if a.Test == "" {
			fmt.Fprintf(r.out, "ok    %s (%.1fs)\n", a.Package, a.Elapsed)
		} else {
			r.passed++
		}
		delete(r.lines, key)
	case "skip":
		if a.Test != "" {
			r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s", a.Package, a.Test, reason(r.lines[key])))
		}
		delete(r.lines, key)
	case "fail":
		fmt.Fprint(r.out, strings.Join(r.lines[key], ""))
		if a.Test == "" {
			r.unended(a.Package)
			fmt.Fprintf(r.out, "FAIL  %s (%.1fs)\n", a.Package, a.Elapsed)
		} else {
			r.failed = append(r.failed, key)
		}
		delete(r.lines, key)
	}
}

// unended counts the tests of a package that had no verdict when it failed, as a
// panic and the end of the time leave them, and prints what they said.
func (r *report) unended(pkg string) {
	for _, key := range slices.Sorted(maps.Keys(r.lines)) {
		if test, ok := strings.CutPrefix(key, pkg+" "); ok && test != "" {
			fmt.Fprint(r.out, strings.Join(r.lines[key], ""))
			r.failed = append(r.failed, key+" (did not end)")
			delete(r.lines, key)
		}
	}
}

// reason finds why a test was skipped among its output.
func reason(lines []string) string {
	var words []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "===") || strings.HasPrefix(l, "---") {
			continue
		}
		words = append(words, l)
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

func (r *report) summary() {
	fmt.Fprintf(r.out, "\n%d tests passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
	for _, f := range r.failed {
		fmt.Fprintln(r.out, "failed: ", f)
	}
	for _, s := range r.skipped {
		fmt.Fprintln(r.out, "skipped:", s)
	}
}
