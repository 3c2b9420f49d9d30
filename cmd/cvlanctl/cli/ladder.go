package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// writeLadders draws the exchanges of every IKE SA.
func writeLadders(t *term.Terminal, tr *trace.Trace) error {
	w := bufio.NewWriter(t.Out)
	if len(tr.SAs) == 0 {
		fmt.Fprintln(w, "No IKE message in this capture.")
	}
	for i, sa := range tr.SAs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		(&ladder{w: w, term: t, sa: sa, begin: tr.First}).draw()
	}
	return w.Flush()
}

// ladder draws one SA. The initiator stands on the left.
type ladder struct {
	w     *bufio.Writer
	term  *term.Terminal
	sa    *trace.IKESA
	begin time.Time // of the capture: times are seconds since then
}

// rung is one line of the ladder.
type rung struct {
	frame    int64
	time     time.Time
	toRight  bool
	label    string
	detail   string
	meaning  term.Meaning
	order    int // among rungs of the same frame and time
	unlinked bool
}

// shaft is the width between the two sides.
const shaft = 46

func (l *ladder) draw() {
	sa := l.sa
	state := string(sa.State)
	fmt.Fprintf(l.w, "%s  IKEv%d  %s\n", l.term.Paint(term.Strong, "IKE SA "+spis(sa)), sa.Version, l.term.Paint(ikeMeaning(sa.State), state))
	if sa.Suite.Keyword != "" {
		fmt.Fprintf(l.w, "  %s\n", clean.Text(sa.Suite.Keyword))
	}
	if sa.Partial {
		fmt.Fprintln(l.w, "  its beginning was not captured")
	}
	left, right := endpointText(sa.Local.Host, sa.Local.Port), endpointText(sa.Remote.Host, sa.Remote.Port)
	pad := max(shaft+2-ansi.StringWidth(left)-ansi.StringWidth(right), 2)
	fmt.Fprintf(l.w, "%18s %s%s%s\n", "", left, strings.Repeat(" ", pad), right)
	for _, r := range l.rungs() {
		fmt.Fprintln(l.w, l.rung(&r))
	}
	if sa.Skipped > 0 {
		fmt.Fprintf(l.w, "  %d exchanges in between were seen and not kept\n", sa.Skipped)
	}
	if sa.Ended != "" {
		fmt.Fprintf(l.w, "%7s %10s ended: %s%s\n", "", l.clock(sa.EndedAt), endingText(sa.Ended), by(sa.EndedBy))
	}
}

// rungs gives the lines of all exchanges in the order of the capture.
func (l *ladder) rungs() []rung {
	var all []rung
	for _, x := range l.sa.Exchanges {
		all = append(all, l.exchange(x)...)
	}
	slices.SortStableFunc(all, func(a, b rung) int {
		return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.frame, b.frame), cmp.Compare(a.order, b.order))
	})
	return all
}

// exchange gives the lines of one exchange.
func (l *ladder) exchange(x *trace.Exchange) []rung {
	var out []rung
	toRight := x.By != trace.Responder
	name := fmt.Sprintf("%s %d", x.Type, x.MessageID)
	if x.SA != nil && x.SA.Version == 1 {
		name = x.Type.String()
		if x.MessageID != 0 {
			name = fmt.Sprintf("%s %08x", x.Type, x.MessageID)
		}
	}
	add := func(m *trace.Message, label string, toRight bool, rtt string) {
		if m == nil {
			return
		}
		meaning := term.Plain
		if m.ErrorNotify() != nil {
			meaning = term.Bad
		}
		detail := fmt.Sprintf("%5d  %s", m.Length, chain(m))
		if m.Fragments > 0 {
			detail += fmt.Sprintf("  (%d IKE fragments)", m.Fragments)
		}
		if m.IPFragments > 0 {
			detail += fmt.Sprintf("  (%d IP fragments)", m.IPFragments)
		}
		out = append(out, rung{frame: m.Frame, time: m.Time, toRight: toRight, label: label, detail: detail + rtt, meaning: meaning})
	}
	version1 := x.SA != nil && x.SA.Version == 1
	request, response := name+" request", name+" response"
	if version1 {
		request, response = name, name
	}
	add(x.Request, request, toRight, "")
	rtt := ""
	if v, ok := x.RTT.Get(); ok {
		rtt = fmt.Sprintf("  (after %s)", shortDuration(v))
	}
	add(x.Response, response, !toRight, rtt)
	for _, m := range x.More {
		add(m, name, l.fromInitiator(m), "")
	}
	for i, r := range x.Repeats {
		label, right := request, toRight
		if r.Response {
			label, right = response, !toRight
		}
		out = append(out, rung{frame: r.Frame, time: r.Time, toRight: right, label: label, detail: "       again", meaning: term.Warning, order: i + 1})
	}
	if hidden := x.RequestRepeats + x.ResponseRepeats - len(x.Repeats); hidden > 0 && len(x.Repeats) > 0 {
		last := x.Repeats[len(x.Repeats)-1]
		out = append(out, rung{time: last.Time, frame: last.Frame, label: fmt.Sprintf("and %d more times", hidden), order: len(x.Repeats) + 1, unlinked: true, meaning: term.Warning})
	}
	if !version1 && x.Request != nil && x.Response == nil {
		when, frame := x.Request.Time, x.Request.Frame
		if n := len(x.Repeats); n > 0 {
			when, frame = x.Repeats[n-1].Time, x.Repeats[n-1].Frame
		}
		out = append(out, rung{time: when, frame: frame, label: "no response", order: len(x.Repeats) + 2, unlinked: true, meaning: term.Bad})
	}
	return out
}

// fromInitiator says whether an IKEv1 message came from the initiator's side.
func (l *ladder) fromInitiator(m *trace.Message) bool {
	return m.Src.Addr().Unmap() == l.sa.Local.Host.Unmap()
}

// rung draws one line: frame, seconds, arrow, detail.
func (l *ladder) rung(r *rung) string {
	if r.unlinked {
		text := "x " + r.label
		pad := max(shaft-2-ansi.StringWidth(text), 0)
		return fmt.Sprintf("%18s │ %s%s │", "", l.term.Paint(r.meaning, text), strings.Repeat(" ", pad))
	}
	line := fmt.Sprintf("%7d %10s │%s│ %s", r.frame, l.clock(r.time), l.term.Paint(r.meaning, arrow(r.label, r.toRight)), clean.Text(r.detail))
	if l.term.Width > 0 {
		line = ansi.Truncate(line, l.term.Width, "…")
	}
	return line
}

// arrow draws an arrow with a label in it, as wide as the shaft.
func arrow(label string, toRight bool) string {
	label = ansi.Truncate(clean.Text(label), shaft-6, "…")
	rest := max(shaft-4-ansi.StringWidth(label), 0)
	left := rest / 2
	line := "─" + strings.Repeat("─", left) + " " + label + " " + strings.Repeat("─", rest-left)
	if toRight {
		return line + "▶"
	}
	return "◀" + line
}

// clock gives the seconds since the beginning of the capture.
func (l *ladder) clock(t time.Time) string {
	if t.IsZero() || l.begin.IsZero() {
		return ""
	}
	return fmt.Sprintf("%.6f", t.Sub(l.begin).Seconds())
}

// chain names the payloads of a message: SA KE Nonce N(COOKIE), and for one
// that keys did not open the first inner payload.
func chain(m *trace.Message) string {
	var parts []string
	for i := range m.Payloads {
		p := &m.Payloads[i]
		switch body := p.Body.(type) {
		case *wire.Notify:
			parts = append(parts, "N("+body.Type.String()+")")
		case *wire.Encrypted, *wire.Fragment:
			// Said below.
		default:
			parts = append(parts, p.Type.String())
		}
	}
	text := strings.Join(parts, " ")
	switch {
	case m.Decrypted:
		return "SK{" + text + "}"
	case m.Encrypted && m.Header.Version.Major() == 1:
		return strings.TrimSpace(text + " encrypted")
	case m.Encrypted && m.First == 0:
		return strings.TrimSpace(text + " SK{}")
	case m.Encrypted:
		return strings.TrimSpace(text + " SK{" + m.First.String() + " …}")
	}
	return text
}

// spis names an IKE SA by both its SPIs.
func spis(sa *trace.IKESA) string {
	return sa.InitiatorSPI.String() + "_i " + sa.ResponderSPI.String() + "_r"
}

func endpointText(a netip.Addr, port uint16) string {
	switch {
	case !a.IsValid():
		return "?"
	case port == 0:
		return a.String()
	}
	return netip.AddrPortFrom(a, port).String()
}

func by(o trace.Origin) string {
	if o == trace.Nobody {
		return ""
	}
	return " by the " + o.String()
}

func endingText(e trace.Ending) string {
	switch e {
	case trace.EndDeleted:
		return "deleted"
	case trace.EndRekeyed:
		return "replaced by a rekeyed SA"
	case trace.EndFailed:
		return "failed before it was established"
	case trace.EndNoAnswer:
		return "requests stayed without response"
	}
	return string(e)
}

// shortDuration gives a duration with three digits or so: 812 µs, 13.2 ms,
// 4.01 s, 1 h 2 m.
func shortDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + shortDuration(-d)
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
}
