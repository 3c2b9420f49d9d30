// Package cvlanctl_test proves the rules of the house over the whole tree:
// which package may import which, that every package says what it is for,
// formatting, no clock in pure packages, no unsafe code, no machine paths.
package cvlanctl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path that all packages of the project begin with.
const module = "github.com/cloudvlan/cvlanctl"

// pkg is what go list says of one package.
type pkg struct {
	ImportPath   string
	Dir          string
	Doc          string
	Imports      []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// short gives the path within the module: "engine/wire".
func (p *pkg) short() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// list gives all packages as built for one system.
func list(t *testing.T, goos string) []*pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v\n%s", goos, err, errs.String())
	}
	var all []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &pkg{}
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("output of go list: %v", err)
		}
		all = append(all, p)
	}
}

// within says whether path is folder or lies under it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// standard says whether an import path belongs to the standard library.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// TestImportsPointOneWay proves what may import what.
func TestImportsPointOneWay(t *testing.T) {
	pure := []string{"engine", "engine/event", "engine/trace", "engine/wire", "engine/suite", "engine/ike", "engine/esp", "diag", "diag/rule"}
	rules := []struct {
		name    string
		applies func(pkg string) bool
		refuses func(pkg, imported string) bool
	}{
		{"wire imports the standard library only, without crypto",
			func(p string) bool { return p == "engine/wire" },
			func(_, i string) bool { return !standard(i) || within(i, "crypto") || within(i, "hash") }},
		{"pure packages open nothing",
			func(p string) bool { return slices.Contains(pure, p) },
			func(_, i string) bool {
				return slices.Contains([]string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "io/ioutil"}, i)
			}},
		{"engine knows nothing of capture, diag and tui",
			func(p string) bool { return within(p, "engine") },
			func(_, i string) bool {
				return within(i, module+"/capture") || within(i, module+"/diag") || within(i, module+"/tui") || within(i, module+"/cmd")
			}},
		{"tui and diag know neither govici, gopacket nor sockets",
			func(p string) bool { return within(p, "tui") || p == "diag" || p == "diag/rule" },
			func(_, i string) bool {
				return within(i, "github.com/strongswan/govici") || within(i, "github.com/google/gopacket") || within(i, module+"/engine/link")
			}},
		{"gopacket stays inside capture",
			func(p string) bool { return !within(p, "capture") && !within(p, "lab") && p != "internal/bench" },
			func(_, i string) bool { return within(i, "github.com/google/gopacket") }},
		{"gVisor stays inside engine/link/netstack",
			func(p string) bool { return p != "engine/link/netstack" },
			func(_, i string) bool { return within(i, "gvisor.dev/gvisor") }},
		{"govici stays inside engine/vici",
			func(p string) bool { return p != "engine/vici" && !within(p, "lab") },
			func(_, i string) bool { return within(i, "github.com/strongswan/govici") }},
		{"only the command line joins everything: nothing imports it but the programs",
			func(p string) bool { return !within(p, "cmd") && !within(p, "internal/gendocs") },
			func(_, i string) bool { return within(i, module+"/cmd") }},
		{"the lab serves tests and people, no package of the program",
			func(p string) bool { return !within(p, "lab") && !within(p, "internal/bench") },
			func(_, i string) bool { return within(i, module+"/lab") }},
		{"no unsafe",
			func(string) bool { return true },
			func(_, i string) bool { return i == "unsafe" || i == "C" }},
	}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, p := range list(t, goos) {
			for _, r := range rules {
				if !r.applies(p.short()) {
					continue
				}
				for _, i := range p.Imports {
					if r.refuses(p.short(), i) {
						t.Errorf("%s (%s) imports %s; the rule: %s", p.short(), goos, i, r.name)
					}
				}
			}
		}
	}
}

// TestEveryPackageSaysWhatItIsFor proves that each package has a comment of
// more than one line's worth.
func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range list(t, "linux") {
		if len(p.GoFiles) > 0 && len(p.Doc) < 30 {
			t.Errorf("%s: package comment is %q, which says too little", p.ImportPath, p.Doc)
		}
	}
}

// sources calls f for every Go file of the project, those of other systems
// included.
func sources(t *testing.T, f func(path string, src []byte)) {
	t.Helper()
	for _, path := range files(t) {
		if filepath.Ext(path) != ".go" {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f(path, src)
	}
}

// files gives every file of the tree but what is built or belongs to tools.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "build"}, path):
			return fs.SkipDir
		case d.Type().IsRegular():
			all = append(all, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEveryFileIsFormatted proves that gofmt would change nothing.
func TestEveryFileIsFormatted(t *testing.T) {
	sources(t, func(path string, src []byte) {
		formatted, err := format.Source(src)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(src, formatted) {
			t.Errorf("%s is not as gofmt writes it", path)
		}
	})
}

// TestPurePackagesAskNoClock proves that time comes into the pure packages as
// a value.
func TestPurePackagesAskNoClock(t *testing.T) {
	pure := []string{"engine", "engine/wire", "engine/event", "engine/trace", "engine/suite", "engine/ike", "engine/esp", "diag", "diag/rule"}
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	sources(t, func(path string, src []byte) {
		if !slices.Contains(pure, filepath.ToSlash(filepath.Dir(path))) || strings.HasSuffix(path, "_test.go") {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, src, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, s.Sel.Name) {
				t.Errorf("%s: time.%s in a package that is given the time", set.Position(s.Pos()), s.Sel.Name)
			}
			return true
		})
	})
}

// TestNoCommandExitsTheProcess proves that only main ends the process, so that
// a command can be run by a test.
func TestNoCommandExitsTheProcess(t *testing.T) {
	programs := regexp.MustCompile(`^(cmd/cvlanctl/main\.go|lab/|internal/(bench|gendocs|testrun)/)`)
	sources(t, func(path string, src []byte) {
		if programs.MatchString(path) || strings.HasSuffix(path, "_test.go") {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, src, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && (x.Name == "os" && s.Sel.Name == "Exit" || x.Name == "log" && strings.HasPrefix(s.Sel.Name, "Fatal")) {
				t.Errorf("%s: %s.%s ends the process", set.Position(s.Pos()), x.Name, s.Sel.Name)
			}
			return true
		})
	})
}

// TestNoSourceIsTooLong proves that no file has grown beyond one subject.
// Tables of names and generated files are data.
func TestNoSourceIsTooLong(t *testing.T) {
	const limit = 800
	data := regexp.MustCompile(`/(iana_|catalogue_)[a-z0-9_]+\.go$`)
	sources(t, func(path string, src []byte) {
		if n := bytes.Count(src, []byte("\n")); n > limit && !data.MatchString(path) && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines, more than %d", path, n, limit)
		}
	})
}

// TestFilesSpeakOfTheProjectOnly proves that no file names a machine's own
// paths, leaves work undone in a marker, or holds pictograms.
func TestFilesSpeakOfTheProjectOnly(t *testing.T) {
	refused := []struct{ what, pattern string }{
		{"an absolute path of a machine", `/` + `work/(main|shared)\b|/` + `home/[a-z]+/|\.\./` + `shared/`},
		{"a marker of undone work", `\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`},
		{"a reference to a tracker's number", `(?i)\bissue` + ` #?[0-9]+\b`},
		{"a silenced linter", `//` + `nolint`},
		{"a pictogram", `[\x{1F300}-\x{1FAFF}]`},
	}
	var patterns []*regexp.Regexp
	for _, r := range refused {
		patterns = append(patterns, regexp.MustCompile(r.pattern))
	}
	for _, path := range files(t) {
		if !slices.Contains([]string{".go", ".md", ".sh", ".mk", ".json", ".txtar", ".yaml", ""}, filepath.Ext(path)) || strings.Contains(path, "testdata/fuzz/") || path == "LICENSE" {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(src), "\n") {
			for i, p := range patterns {
				if strings.HasSuffix(path, "_test.go") && refused[i].what == "a pictogram" {
					continue // hostile text in tests may be any
				}
				if m := p.FindString(line); m != "" {
					t.Errorf("%s:%d holds %s: %s", path, n+1, refused[i].what, strconv.Quote(m))
				}
			}
		}
	}
}
