package cli

import (
	"bytes"
	"fmt"
	"iter"
	"net/netip"
	"strconv"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// textLines writes frames for people: a line each, then the tree and the
// octets where they are asked for.
type textLines struct {
	term    *term.Terminal
	verbose bool
	hex     bool

	ends    int // width of the column of addresses: the widest so far
	scratch []byte
}

// maxEnds bounds the column of addresses: two IPv6 addresses with ports.
const maxEnds = 100

// line appends the one line of an event: frame, time of day (UTC), addresses,
// and what it is.
func (l *textLines) line(b []byte, e *event.Event) []byte {
	s := l.scratch[:0]
	s = appendPadded(s, strconv.AppendInt(nil, e.Frame, 10), frameWidth)
	s = append(s, ' ')
	if !e.Time.IsZero() {
		layout := "15:04:05.000000"
		if l.verbose {
			layout = "2006-01-02 15:04:05.000000000"
		}
		s = e.Time.UTC().AppendFormat(s, layout)
		s = append(s, "  "...)
	}
	start := len(s)
	s = appendEnds(s, e)
	l.ends = max(l.ends, min(len(s)-start, maxEnds))
	for len(s)-start < l.ends {
		s = append(s, ' ')
	}
	s = append(s, "  "...)
	start = len(s)
	s = event.AppendSummary(s, e)
	if !printable(s[start:]) {
		s = append(s[:start], clean.Text(string(s[start:]))...)
	}
	l.scratch = s
	if l.term.Colour {
		b = append(b, l.term.Paint(meaningOf(e), string(s))...)
	} else {
		b = append(b, s...)
	}
	return append(b, '\n')
}

// frameWidth is the width of the column of frame numbers.
const frameWidth = 6

// appendPadded appends text, aligned to the right in width columns.
func appendPadded(b, text []byte, width int) []byte {
	for n := len(text); n < width; n++ {
		b = append(b, ' ')
	}
	return append(b, text...)
}

// appendEnds appends "source > destination" of what the event is about.
func appendEnds(b []byte, e *event.Event) []byte {
	var src, dst netip.Addr
	var sport, dport uint16
	switch {
	case e.Packet != nil:
		src, dst, sport, dport = e.Packet.Src, e.Packet.Dst, e.Packet.SrcPort, e.Packet.DstPort
	case e.ICMP != nil:
		src, dst = e.ICMP.From, e.ICMP.To
	case e.Loss != nil:
		src, dst, sport, dport = e.Loss.Src, e.Loss.Dst, e.Loss.SrcPort, e.Loss.DstPort
	}
	if !src.IsValid() || !dst.IsValid() {
		return b
	}
	b = appendEnd(b, src, sport)
	b = append(b, " > "...)
	return appendEnd(b, dst, dport)
}

func appendEnd(b []byte, a netip.Addr, port uint16) []byte {
	if port == 0 {
		return a.AppendTo(b)
	}
	return netip.AddrPortFrom(a, port).AppendTo(b)
}

// printable says whether text is printable ASCII throughout.
func printable(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func (l *textLines) begin(b []byte) []byte { return b }
func (l *textLines) end(b []byte) []byte   { return b }

func (l *textLines) event(b []byte, e *event.Event) []byte {
	b = l.line(b, e)
	p := e.Packet
	if p == nil {
		return b
	}
	if l.verbose && p.IKE != nil {
		b = appendFields(b, p.IKE.Message.Tree(), 1)
		if p.IKE.Decrypted {
			b = append(b, "  decrypted\n"...)
			for i := range p.IKE.Inner {
				b = appendFields(b, []wire.Field{p.IKE.Inner[i].Tree()}, 2)
			}
		}
		for i := range p.IKE.Message.Problems {
			b = appendProblem(b, &p.IKE.Message.Problems[i])
		}
		for i := range p.IKE.InnerProblems {
			b = appendProblem(b, &p.IKE.InnerProblems[i])
		}
	}
	if l.hex {
		b = appendHex(b, p.Octets)
		if p.IKE != nil && p.IKE.Decrypted {
			b = appendHex(append(b, "  decrypted\n"...), p.IKE.Plain)
		}
	}
	return b
}

// meaningOf gives the meaning of a line: errors and refusals stand out.
func meaningOf(e *event.Event) term.Meaning {
	switch {
	case e.ICMP != nil, e.Loss != nil, e.Gap != nil:
		return term.Warning
	case e.Packet.IKE != nil:
		k := e.Packet.IKE
		if k.Err != nil || k.DecryptError != "" {
			return term.Warning
		}
		for i := range k.Payloads() {
			if n, ok := k.Payloads()[i].Body.(*wire.Notify); ok && n.Type > 0 && n.Type < wire.NotifyType(statusNotifies) {
				return term.Bad
			}
		}
		return term.Plain
	}
	return term.Muted
}

// statusNotifies is the first notify type that is no error (RFC 7296 3.10.1).
const statusNotifies = 16384

// appendFields writes a tree of fields, each level two columns further in.
func appendFields(b []byte, fields []wire.Field, depth int) []byte {
	for i := range fields {
		f := &fields[i]
		for range depth {
			b = append(b, "  "...)
		}
		b = append(b, clean.Text(f.Name)...)
		if f.Value != "" {
			b = append(append(b, ": "...), clean.Text(f.Value)...)
		}
		b = append(b, '\n')
		b = appendFields(b, f.Children, depth+1)
	}
	return b
}

func appendProblem(b []byte, p *wire.Problem) []byte {
	return fmt.Appendf(b, "  problem: %s\n", clean.Text(p.Error()))
}

// appendHex writes octets sixteen a line, with offset and ASCII.
func appendHex(b, octets []byte) []byte {
	const digits = "0123456789abcdef"
	const row = 16
	for at := 0; at < len(octets); at += row {
		part := octets[at:min(at+row, len(octets))]
		b = fmt.Appendf(b, "    %04x  ", at)
		for i := range row {
			if i < len(part) {
				b = append(b, digits[part[i]>>4], digits[part[i]&15], ' ')
			} else {
				b = append(b, "   "...)
			}
			if i == row/2-1 {
				b = append(b, ' ')
			}
		}
		b = append(b, ' ')
		for _, c := range part {
			if c < 0x20 || c > 0x7e {
				c = '.'
			}
			b = append(b, c)
		}
		b = append(b, '\n')
	}
	return b
}

// lines gives the lines of text without their ends.
func lines(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(text) {
			if !yield(bytes.TrimRight(line, "\n")) {
				return
			}
		}
	}
}
