// Package interop records what came of running the engine against other
// people's daemons, and writes the page docs/interop.md from it.
//
// Contract: a test that proves one feature with a real peer asks its Recorder
// for an Entry; when the test ends, its outcome becomes a Row. Rows are kept
// only where the environment variable [Folder] names a folder: one file of JSON
// lines for each peer, sorted, without dates, so that the same run gives the
// same file. `make interop` sets it; in an ordinary test nothing is written.
package interop

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Folder is the environment variable with the folder of the rows.
const Folder = "CVLANCTL_INTEROP"

// Full says that every row is asked for; without it a test runs those that
// stand for the others.
func Full() bool { return os.Getenv(Folder) != "" }

// Role is what our engine was in a row.
type Role string

// Our roles: who sent the first message of the IKE SA.
const (
	Initiator Role = "initiator"
	Responder Role = "responder"
)

// Roles gives both, for tests that run in either.
func Roles() []Role { return []Role{Initiator, Responder} }

// Outcome is what came of a row.
type Outcome string

// What can come of a row.
const (
	Works Outcome = "works"
	Fails Outcome = "fails"
	Lacks Outcome = "peer lacks it" // the peer's build or version has not got it
)

// Row is one feature in one role with one peer.
type Row struct {
	Peer    string  `json:"peer"`    // "strongSwan"
	Version string  `json:"version"` // "5.9.8"
	Role    Role    `json:"role"`
	Feature string  `json:"feature"` // "encryption: aes128gcm16": the group, then the feature
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"` // what exactly was run or seen: a proposal, a reason; never a date or a duration
}

// group and name are the two halves of a feature.
func (r *Row) group() string {
	if g, _, ok := strings.Cut(r.Feature, ": "); ok {
		return g
	}
	return "other"
}

func (r *Row) name() string {
	if _, n, ok := strings.Cut(r.Feature, ": "); ok {
		return n
	}
	return r.Feature
}

// T is what a Recorder needs of a test: *testing.T has it.
type T interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Skipped() bool
	Errorf(format string, args ...any)
}

// Recorder takes the rows of one peer. It is safe for concurrent use, by
// parallel subtests for example.
type Recorder struct {
	peer, version string
	mu            sync.Mutex
	rows          []Row
}

// Open makes a recorder of rows with a peer, which are written when the test t
// ends: t is the parent of the tests that have entries.
func Open(t T, peer, version string) *Recorder {
	r := &Recorder{peer: peer, version: version}
	if dir := os.Getenv(Folder); dir != "" {
		t.Cleanup(func() {
			t.Helper()
			r.mu.Lock()
			defer r.mu.Unlock()
			if err := Merge(dir, r.rows); err != nil {
				t.Errorf("rows of %s: %v", peer, err)
			}
		})
	}
	return r
}

// Entry is a row whose outcome is not known yet.
type Entry struct {
	mu     sync.Mutex
	detail string
}

// Entry begins the row of a feature that the test t proves. When t ends, the
// row works or fails as t did; of a skipped test there is no row.
func (r *Recorder) Entry(t T, role Role, feature string) *Entry {
	e := &Entry{}
	t.Cleanup(func() {
		if t.Skipped() {
			return
		}
		outcome := Works
		if t.Failed() {
			outcome = Fails
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		r.add(role, feature, outcome, e.detail)
	})
	return e
}

// Detail says what exactly was run or seen.
func (e *Entry) Detail(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.detail = fmt.Sprintf(format, args...)
}

// Lacks records that the peer has not got a feature, and why that is known.
func (r *Recorder) Lacks(role Role, feature, why string) { r.add(role, feature, Lacks, why) }

func (r *Recorder) add(role Role, feature string, o Outcome, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, Row{Peer: r.peer, Version: r.version, Role: role, Feature: feature, Outcome: o, Detail: detail})
}

// merging keeps the tests of one process from writing a file at once. Packages
// that record run one after another (go test -p 1).
var merging sync.Mutex

// Merge puts rows into the files of a folder. A row takes the place of one of
// the same peer, role and feature.
func Merge(dir string, rows []Row) error {
	merging.Lock()
	defer merging.Unlock()
	byPeer := map[string][]Row{}
	for _, r := range rows {
		byPeer[r.Peer] = append(byPeer[r.Peer], r)
	}
	for peer, fresh := range byPeer {
		path := filepath.Join(dir, fileName(peer))
		old, err := readFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := writeFile(path, union(old, fresh)); err != nil {
			return err
		}
	}
	return nil
}

func fileName(peer string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(peer)) + ".jsonl"
}

// union keeps the last of the rows with one key, in the order of the page.
func union(old, fresh []Row) []Row {
	type key struct {
		role    Role
		feature string
	}
	last := map[key]Row{}
	for _, r := range slices.Concat(old, fresh) {
		last[key{r.Role, r.Feature}] = r
	}
	all := make([]Row, 0, len(last))
	for _, r := range last {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Row) int {
		return cmp.Or(natural(a.Feature, b.Feature), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Role, b.Role))
	})
	return all
}

// Read gives the rows of a folder, file by file.
func Read(dir string) ([]Row, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	var all []Row
	for _, f := range files {
		rows, err := readFile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

func readFile(path string) ([]Row, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	var rows []Row
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		var r Row
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&r); err != nil {
			return nil, fmt.Errorf("rows: line %d of %s: %w", n, path, err)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

func writeFile(path string, rows []Row) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i := range rows {
		if err := enc.Encode(&rows[i]); err != nil {
			return fmt.Errorf("rows: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	return nil
}
