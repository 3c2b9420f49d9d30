// Package term is the terminal that commands talk to: three streams, whether
// each is a terminal, how wide it is and whether it shows colour.
//
// Contract: colour goes only to a terminal that wants it. Text from strangers
// passes clean.Text before it is written as text; what this package adds
// itself (colour) is added afterwards.
package term

import (
	"bytes"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal is where a command reads and writes.
type Terminal struct {
	In  io.Reader
	Out io.Writer // results
	Err io.Writer // everything else

	InTTY, OutTTY, ErrTTY bool
	Width                 int  // columns of Out; 0 where it is no terminal
	Colour                bool // Out shows colour

	env func(string) (string, bool)
}

// System gives the process's own terminal. NO_COLOR set and not empty, or
// TERM=dumb, turns colour off.
func System() *Terminal {
	t := &Terminal{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY:  term.IsTerminal(int(os.Stdin.Fd())),
		OutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		env:    os.LookupEnv,
	}
	if t.OutTTY {
		if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			t.Width = w
		}
	}
	no, _ := t.Env("NO_COLOR")
	kind, _ := t.Env("TERM")
	t.Colour = t.OutTTY && no == "" && kind != "dumb"
	return t
}

// Test gives a Terminal on buffers, without colour, whose environment is env
// and nothing else. in is what it reads.
func Test(in string, env map[string]string) (t *Terminal, out, errs *bytes.Buffer) {
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	return &Terminal{In: strings.NewReader(in), Out: out, Err: errs, env: lookup}, out, errs
}

// Env gives an environment variable and whether it is set.
func (t *Terminal) Env(name string) (string, bool) {
	if t.env == nil {
		return "", false
	}
	return t.env(name)
}

// Meaning is what a colour stands for.
type Meaning uint8

// The meanings.
const (
	Plain Meaning = iota
	Good
	Busy
	Warning
	Bad
	Muted
	Strong
)

// sgr holds the ECMA-48 "select graphic rendition" sequence of each Meaning,
// in the sixteen colours that follow the terminal's own theme.
var sgr = [...]string{Plain: "", Good: "\x1b[32m", Busy: "\x1b[36m", Warning: "\x1b[33m", Bad: "\x1b[31m", Muted: "\x1b[2m", Strong: "\x1b[1m"}

// Paint gives s in the colour of m where the terminal shows colour, else s.
func (t *Terminal) Paint(m Meaning, s string) string {
	if !t.Colour || m == Plain || s == "" || int(m) >= len(sgr) {
		return s
	}
	return sgr[m] + s + "\x1b[0m"
}
