package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tailOctets is how much of the end of a log is shown.
const tailOctets = 12 << 10

// dump is a line of a log that shows octets, or says that such lines follow:
// they may be keys.
var dump = regexp.MustCompile(`=> \d+ bytes @|\b\d+: [0-9A-F]{2}(\s|$)`)

// tail gives the end of a log without what may be secret, or why there is none.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	// Most of a log may be dumps of octets.
	const read = 32 * tailOctets
	if info, err := f.Stat(); err == nil && info.Size() > read {
		_, _ = f.Seek(-read, io.SeekEnd) // from the beginning, if it will not
	}
	text, err := io.ReadAll(io.LimitReader(f, read))
	if err != nil {
		return err.Error()
	}
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		if !dump.Match(line) {
			b.Write(line)
		}
	}
	kept := b.Bytes()
	if len(kept) > tailOctets {
		_, kept, _ = bytes.Cut(kept[len(kept)-tailOctets:], []byte("\n"))
	}
	return string(kept)
}

// Tail gives the end of what the daemon has logged and printed, without keys.
func (d *Daemon) Tail() string {
	return fmt.Sprintf("%s:\n%s%s", d.LogPath(), tail(d.LogPath()), tail(filepath.Join(d.Dir, "output.log")))
}

// ShowOnFailure has a test that fails show the end of the daemons' logs, before
// they go. A daemon may be nil.
func (b *Bench) ShowOnFailure(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.Tails())
		}
	})
}

// Tails gives the end of what both daemons have logged.
func (b *Bench) Tails() string {
	var all strings.Builder
	for _, d := range []*Daemon{b.A, b.B} {
		if d != nil && d.process != nil {
			all.WriteString(d.Tail())
		}
	}
	return all.String()
}
