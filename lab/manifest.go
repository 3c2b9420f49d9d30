package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// ManifestFile is the name of the manifest in a folder of captures.
const ManifestFile = "manifest.json"

// Manifest describes a folder of captures.
type Manifest struct {
	Captures []Entry `json:"captures"`
}

// Entry describes one capture.
type Entry struct {
	Name string `json:"name"`
	File string `json:"file"`
	// Keys is the folder of Wireshark's key tables, "" where no keys exist.
	Keys  string `json:"keys"`
	Shows string `json:"shows"`
	// Expect holds the finding ids that a diagnosis has to name, the cause
	// first; empty for a healthy tunnel.
	Expect []string `json:"expect"`
	Notes  []string `json:"notes,omitempty"`
	// ForcedEncapsulation: an end claims a NAT, with NAT detection hashes
	// that match no address, to get its ESP into UDP.
	ForcedEncapsulation bool `json:"forced_encapsulation"`
	Initiator           Peer `json:"initiator"`
	Responder           Peer `json:"responder"`
	// IKESuite and ESPSuite are what the daemons agreed first, in strongSwan's
	// names; "" where they agreed nothing.
	IKESuite string `json:"ike_suite"`
	ESPSuite string `json:"esp_suite"`
	Tap      Tap    `json:"tap"`
}

// Peer is one end of a recording.
type Peer struct {
	Software string `json:"software"` // "strongSwan 5.9.8", "scripted", "none"
	ESP      string `json:"esp"`      // "kernel-libipsec", "kernel", "none"
	Address  string `json:"address"`  // its own outer address
}

// entry describes the run of a scenario.
func (b *Bench) entry(ctx context.Context, rec Recording) (Entry, error) {
	version, err := StrongSwanVersion(ctx)
	if err != nil {
		return Entry{}, err
	}
	s := b.Scenario
	e := Entry{Name: s.Name, File: filepath.Base(rec.Capture), Shows: s.Shows, Expect: s.Expect, Notes: s.Notes, Tap: s.Tap,
		Initiator: b.peer(b.A, version, b.OuterA), Responder: b.peer(b.B, version, b.OuterB)}
	if e.Expect == nil {
		e.Expect = []string{}
	}
	if e.Tap == "" {
		e.Tap = TapInitiator
	}
	if s.NAT == NATBoth {
		e.Responder.Address = privateB4
	}
	if b.Peer != "" {
		e.Responder = Peer{Software: b.Peer, ESP: "kernel", Address: b.OuterB}
	}
	if s.Scripted != "" {
		e.Responder = Peer{Software: "scripted", ESP: "none", Address: b.OuterB}
		e.Notes = append(slices.Clone(e.Notes), s.Scripted)
	}
	if rec.KeysDir != "" {
		e.Keys = filepath.Base(rec.KeysDir)
	}
	for _, d := range []*Daemon{b.A, b.B} {
		if d == nil {
			continue
		}
		e.ForcedEncapsulation = e.ForcedEncapsulation || !d.config.KernelESP
		ike, esp, err := d.agreed()
		if err != nil {
			return e, err
		}
		if e.IKESuite == "" {
			e.IKESuite = ike
		}
		if e.ESPSuite == "" {
			e.ESPSuite = esp
		}
	}
	return e, nil
}

func (b *Bench) peer(d *Daemon, version, address string) Peer {
	if d == nil {
		return Peer{Software: "none", ESP: "none", Address: address}
	}
	p := Peer{Software: "strongSwan " + version, ESP: "kernel-libipsec", Address: address}
	if d.config.KernelESP {
		p.ESP = "kernel"
	}
	return p
}

var (
	agreedIKE = regexp.MustCompile(`selected proposal: IKE:(\S+)`)
	agreedESP = regexp.MustCompile(`selected proposal: ESP:(\S+)`)
)

// agreed gives the first suites that the daemon's log says were selected.
func (d *Daemon) agreed() (ike, esp string, err error) {
	log, err := os.ReadFile(d.LogPath())
	if err != nil {
		return "", "", fmt.Errorf("log of daemon: %w", err)
	}
	if m := agreedIKE.FindSubmatch(log); m != nil {
		ike = string(m[1])
	}
	if m := agreedESP.FindSubmatch(log); m != nil {
		esp = string(m[1])
	}
	return ike, esp, nil
}

// ReadManifest reads the manifest of a folder; there may be none yet.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("manifest of %s: %w", dir, err)
	}
	return m, nil
}

// Put adds an entry, in place of one of the same name.
func (m *Manifest) Put(e Entry) {
	for i := range m.Captures {
		if m.Captures[i].Name == e.Name {
			m.Captures[i] = e
			return
		}
	}
	m.Captures = append(m.Captures, e)
}

// Sort puts the entries into the order of the given names; others follow.
func (m *Manifest) Sort(names []string) {
	place := func(e Entry) int {
		if i := slices.Index(names, e.Name); i >= 0 {
			return i
		}
		return len(names)
	}
	slices.SortStableFunc(m.Captures, func(a, b Entry) int { return place(a) - place(b) })
}

// Write writes the manifest into a folder.
func (m Manifest) Write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ManifestFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}
