package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State is what was loaded into one daemon from a policy: names and digests,
// nothing secret. It says which of the daemon's connections are ours to
// replace and to take away. It is kept in a file between runs.
type State struct {
	Version int    `json:"version"`
	Source  string `json:"source"` // the daemon, as --source names it
	// Loaded has, by kind and name, the digest of what was loaded; "" for keys
	// and secrets.
	Loaded map[Kind]map[string]string `json:"loaded"`
}

const stateVersion = 1

// maxState bounds the state file in octets: some 25,000 connections.
const maxState = 4 << 20

// NewState makes the state of a daemon that nothing was loaded into.
func NewState(source string) *State {
	return &State{Version: stateVersion, Source: source, Loaded: map[Kind]map[string]string{}}
}

// ReadState reads the state of a daemon from a file. A file that is not there
// is the state of a daemon that nothing was loaded into.
func ReadState(path, source string) (*State, error) {
	b, err := readFile(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return NewState(source), nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	s := NewState(source)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("state %s: %w", path, err)
	}
	switch {
	case s.Version != stateVersion:
		return nil, fmt.Errorf("state %s: of version %d, this program knows %d", path, s.Version, stateVersion)
	case s.Source != source:
		return nil, fmt.Errorf("state %s: of %s, not of %s", path, s.Source, source)
	case s.Loaded == nil:
		s.Loaded = map[Kind]map[string]string{}
	}
	return s, nil
}

// Write replaces the file in one step; its owner alone can read it.
func (s *State) Write(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".policy-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error before is what matters
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

func (s *State) set(kind Kind, name, digest string) {
	if s.Loaded[kind] == nil {
		s.Loaded[kind] = map[string]string{}
	}
	s.Loaded[kind][name] = digest
}

func (s *State) drop(kind Kind, name string) { delete(s.Loaded[kind], name) }
