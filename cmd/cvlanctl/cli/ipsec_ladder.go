package cli

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// liveLadder draws the exchanges of a daemon as its log tells them. We stand
// on the left, the peer on the right.
type liveLadder struct {
	w     io.Writer
	term  *term.Terminal
	begin time.Time
	all   bool // also lines that tell nothing known
	err   error

	// A message that was built waits for its datagrams, which tell its size.
	built  *event.LogMessage
	at     time.Time
	octets int
	parts  int // IKE fragments still to be sent; 0 where it is whole
	pieces int
	heard  int // octets received, their message not yet read

	own func(netip.AddrPort) bool // of our own engine, which tells packets and no log: which addresses are ours
}

// add draws what one event tells.
func (l *liveLadder) add(e *event.Event) {
	switch log := e.Log; {
	case e.Packet != nil:
		l.packet(e)
	case e.Change != nil && l.own != nil:
		l.change(e)
	case log == nil:
	case log.Message != nil:
		l.message(e.Time, log.Message)
	case log.Datagram != nil:
		l.datagram(log.Datagram)
	case log.Step != nil && log.Step.Kind == "split":
		l.parts = parts(log.Step.Detail["fragments"])
		l.pieces = l.parts
	case log.Retransmit != nil:
		l.retransmit(e.Time, log.Retransmit)
	case log.Failure != nil:
		l.note(e.Time, term.Bad, "x", log.Text)
	case log.Established != nil:
		l.note(e.Time, term.Good, "✓", log.Text)
	case log.Proposals != nil || log.Step != nil && telling[log.Step.Kind]:
		l.note(e.Time, term.Plain, "·", log.Text)
	case l.all:
		l.note(e.Time, term.Muted, " ", fmt.Sprintf("[%s%d] %s", log.Group, max(log.Level, 0), log.Text))
	}
}

// packet draws an IKE message that our own engine sent or took.
func (l *liveLadder) packet(e *event.Event) {
	p := e.Packet
	if p.IKE == nil || p.IKE.Message == nil || l.own == nil {
		return
	}
	h := &p.IKE.Message.Header
	kind, m := "request", term.Plain
	if h.Response() {
		kind = "response"
	}
	for _, x := range p.IKE.Payloads() {
		if n, ok := x.Body.(*wire.Notify); ok && n.Type < 16384 {
			m = term.Bad
		}
	}
	_, payloads, _ := strings.Cut(event.Summary(e), ": ")
	sent := l.own(netip.AddrPortFrom(p.Src, p.SrcPort))
	l.rung(e.Time, m, fmt.Sprintf("%s %d %s", h.Exchange, h.MessageID, kind), sent, fmt.Sprintf("%5d  %s", p.Length, payloads))
}

// change notes what came of it.
func (l *liveLadder) change(e *event.Event) {
	sa := e.Change.SA
	switch e.Change.Kind {
	case event.IKEUp:
		l.note(e.Time, term.Good, "✓", fmt.Sprintf("IKE SA %s[%d] established with %s[%s], %s", sa.Name, sa.UniqueID, sa.Remote.AddrPort(), sa.Remote.ID, sa.Suite.Keyword))
	case event.ChildUp:
		for _, c := range sa.Children {
			l.note(e.Time, term.Good, "✓", fmt.Sprintf("child SA %s{%d} with SPIs %s in, %s out and TS %s === %s, %s", c.Name, c.UniqueID,
				c.SPIIn.Or(0), c.SPIOut.Or(0), strings.Join(c.LocalTS, ","), strings.Join(c.RemoteTS, ","), c.Suite.Keyword))
		}
	case event.IKEDown:
		l.note(e.Time, term.Bad, "x", fmt.Sprintf("IKE SA %s[%d] is down", sa.Name, sa.UniqueID))
	}
}

// telling are the steps that an operator follows beside the messages.
var telling = map[string]bool{
	"initiating": true, "nat-local": true, "nat-remote": true, "nat-fake": true, "invalid-ke": true, "authenticated-self": true,
	"authenticated-peer": true, "eap-success": true, "ike-rekeyed": true, "child-outbound": true, "virtual-ip": true,
	"delete-sent": true, "deleted": true, "child-closing": true, "collision": true, "duplicate": true, "dpd-request": true,
}

// maxFragments bounds the count of fragments that is believed.
const maxFragments = 255

func parts(s string) int {
	n := 0
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n < 0 || n > maxFragments {
		return 0
	}
	return n
}

func (l *liveLadder) message(at time.Time, m *event.LogMessage) {
	switch {
	case m.Fragments > 0:
		// The message that it is a part of is drawn.
	case m.Sent:
		l.flush()
		l.built, l.at, l.octets, l.parts, l.pieces = m, at, 0, 0, 0
	default:
		l.flush()
		l.arrow(at, m, l.heard, 0)
		l.heard = 0
	}
}

func (l *liveLadder) datagram(d *event.LogDatagram) {
	switch {
	case !d.Sent:
		l.heard += d.Octets
	case l.built != nil:
		l.octets += d.Octets
		if l.parts--; l.parts <= 0 {
			l.flush()
		}
	}
}

// flush draws the message that waits.
func (l *liveLadder) flush() {
	if l.built != nil {
		l.arrow(l.at, l.built, l.octets, l.pieces)
		l.built = nil
	}
}

func (l *liveLadder) arrow(at time.Time, m *event.LogMessage, octets, fragments int) {
	kind := "request"
	if m.Response {
		kind = "response"
	}
	text := strings.Join(m.Payloads, " ")
	if m.Exchange != wire.ExchangeIKESAInit {
		text = "SK{" + text + "}"
	}
	if fragments > 1 {
		text += fmt.Sprintf("  (%d IKE fragments)", fragments)
	}
	size := ""
	if octets > 0 {
		size = fmt.Sprint(octets)
	}
	l.rung(at, refusal(m), fmt.Sprintf("%s %d %s", m.Name, m.MessageID, kind), m.Sent, fmt.Sprintf("%5s  %s", size, text))
}

// refusal gives the meaning of a message: bad where it carries an error.
func refusal(m *event.LogMessage) term.Meaning {
	for _, p := range m.Chain() {
		if n, ok := p.Body.(*wire.Notify); ok && n.Type < 16384 {
			return term.Bad
		}
	}
	return term.Plain
}

func (l *liveLadder) retransmit(at time.Time, r *event.LogRetransmit) {
	l.flush()
	switch r.Kind {
	case event.RetransmitGiveUp:
		l.note(at, term.Bad, "x", fmt.Sprintf("no response, given up after %d retransmissions", r.Attempt))
	case event.RetransmitResponse:
		l.rung(at, term.Warning, fmt.Sprintf("request %d", r.MessageID), false, "       again; our response went again too")
	default:
		l.rung(at, term.Warning, fmt.Sprintf("request %d", r.MessageID), true, fmt.Sprintf("       again, retransmission %d", r.Attempt))
	}
}

func (l *liveLadder) rung(at time.Time, m term.Meaning, label string, toRight bool, detail string) {
	l.write(fmt.Sprintf("%9s │%s│ %s", l.clock(at), l.term.Paint(m, arrow(label, toRight)), clean.Text(detail)))
}

func (l *liveLadder) note(at time.Time, m term.Meaning, mark, text string) {
	l.flush()
	l.write(fmt.Sprintf("%9s %s %s", l.clock(at), l.term.Paint(m, mark), l.term.Paint(m, clean.Text(text))))
}

func (l *liveLadder) write(line string) {
	if l.term.Width > 0 {
		line = ansi.Truncate(line, l.term.Width, "…")
	}
	if _, err := fmt.Fprintln(l.w, line); err != nil && l.err == nil {
		l.err = fmt.Errorf("writing the ladder: %w", err)
	}
}

func (l *liveLadder) clock(at time.Time) string {
	return fmt.Sprintf("%.3f", at.Sub(l.begin).Seconds())
}
