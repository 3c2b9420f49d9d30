package cli

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// liveTable gives the SAs of a daemon as a table: for each connection its IKE
// SAs, under each its CHILD SAs, and then the children that are down.
func liveTable(s *backend.Snapshot, findings []diag.Finding, now time.Time, want doc.Wanted) *print.Rows {
	rows := &print.Rows{
		Columns: []print.Column{
			{Title: "name"}, {Title: "state"}, {Title: "for", Right: true}, {Title: "local"}, {Title: "remote"},
			{Title: "NAT"}, {Title: "in", Right: true}, {Title: "out", Right: true}, {Title: "rekey in", Right: true}, {Title: "finding"}, {Title: "note"},
		},
		Empty: "No connection is configured, and there is no security association.",
	}
	if want != nil {
		rows.Empty = "Nothing of that name is configured or active."
	}
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		if want == nil || want(t.Name, "") {
			tunnelRows(rows, s, t, findings, now, want)
		}
	}
	return rows
}

// worstAbout gives the worst finding above info about an IKE SA, "" where there is
// none.
func worstAbout(findings []diag.Finding, sa *engine.IKESA) string {
	for i := range findings {
		if f := &findings[i]; f.Severity < diag.Info && f.Subject.SPIi == sa.InitiatorSPI.String() {
			return fmt.Sprintf("%s: %s", f.Severity, f.ID)
		}
	}
	return ""
}

// writeOtherFindings writes the findings above info that are about no SA of the
// listing: of one that has ended, or never came up.
func writeOtherFindings(t *term.Terminal, s *backend.Snapshot, findings []diag.Finding, want doc.Wanted) error {
	listed := make(map[string]bool)
	for _, sa := range s.SAs {
		listed[sa.InitiatorSPI.String()] = true
	}
	begun := false
	for i := range findings {
		f := &findings[i]
		if f.Severity >= diag.Info || listed[f.Subject.SPIi] || want != nil && f.Subject.Connection != "" && !want(f.Subject.Connection, "") {
			continue
		}
		if !begun {
			fmt.Fprintln(t.Out)
			begun = true
		}
		if _, err := fmt.Fprintln(t.Out, t.Paint(term.Bad, cleaned(fmt.Sprintf("%s: %s [%s]", f.Severity, f.Summary, f.ID)))); err != nil {
			return fmt.Errorf("writing the findings: %w", err)
		}
	}
	return nil
}

func tunnelRows(rows *print.Rows, s *backend.Snapshot, t *backend.Tunnel, findings []diag.Finding, now time.Time, want doc.Wanted) {
	if len(t.SAs) == 0 {
		rows.Add(print.C(t.Name), print.Cell{Text: doc.Down, Meaning: term.Bad}, print.C(""), print.C(localAddrs(t)), print.C(remoteAddrs(t)),
			print.C(""), print.C(""), print.C(""), print.C(""), print.C(""), print.C(pastText(s, &t.Past, now)))
	}
	for _, sa := range t.SAs {
		rows.Add(
			print.C(fmt.Sprintf("%s[%d]", sa.Name, sa.UniqueID)),
			print.Cell{Text: string(sa.State), Meaning: ikeMeaning(sa.State)}, print.C(age(sa.Established, now)),
			print.C(endpointText(sa.Local.Host, sa.Local.Port)), print.C(endpointText(sa.Remote.Host, sa.Remote.Port)),
			print.C(natWord(&sa.NAT)), print.C(""), print.C(""), print.C(due(sa.Timers, "rekey", now)),
			print.Cell{Text: worstAbout(findings, sa), Meaning: term.Bad}, print.C(ikeNote(t, sa)),
		)
		for _, c := range sa.Children {
			if want == nil || want(t.Name, c.Name) {
				childRow(rows, c, now)
			}
		}
	}
	for i := range t.Children {
		c := &t.Children[i]
		if len(c.SAs) > 0 || want != nil && !want(t.Name, c.Name) {
			continue
		}
		local, remote := "", ""
		if c.Config != nil {
			local, remote = joined(c.Config.LocalTS), joined(c.Config.RemoteTS)
		}
		rows.Add(print.C("  "+c.Name), print.Cell{Text: doc.Down, Meaning: term.Bad}, print.C(""), print.C(local), print.C(remote),
			print.C(""), print.C(""), print.C(""), print.C(""), print.C(""), print.C(pastText(s, &c.Past, now)))
	}
}

func childRow(rows *print.Rows, c *engine.ChildSA, now time.Time) {
	rows.Add(
		print.C(fmt.Sprintf("  %s{%d}", c.Name, c.UniqueID)),
		print.Cell{Text: string(c.State), Meaning: childMeaning(c.State)}, print.C(age(c.Installed, now)),
		print.C(joined(c.LocalTS)), print.C(joined(c.RemoteTS)), print.C(""),
		print.C(octets(c.BytesIn)), print.C(octets(c.BytesOut)), print.C(due(c.Timers, "rekey", now)), print.C(""), print.C(childNote(c)),
	)
}

// ikeNote says what is worth a glance beside an IKE SA.
func ikeNote(t *backend.Tunnel, sa *engine.IKESA) string {
	var notes []string
	if t.Connection == nil {
		notes = append(notes, "no longer configured")
	}
	if len(sa.TasksActive) > 0 {
		notes = append(notes, "waits for "+joined(sa.TasksActive))
	}
	if sa.Remote.ID != "" {
		notes = append(notes, sa.Remote.ID)
	}
	return strings.Join(notes, ", ")
}

// childNote says how a CHILD SA travels, and what is odd about its traffic.
func childNote(c *engine.ChildSA) string {
	notes := []string{strings.TrimSpace(c.Protocol + " " + strings.ToLower(c.Mode))}
	if c.Encap.Or(false) {
		notes[0] += " in UDP"
	}
	in, out := c.PacketsIn.Or(0), c.PacketsOut.Or(0)
	switch {
	case !c.PacketsIn.IsZero() && in == 0 && out > 0:
		notes = append(notes, "sends and hears nothing")
	case !c.PacketsOut.IsZero() && out == 0 && in > 0:
		notes = append(notes, "hears and sends nothing")
	}
	return strings.Join(notes, ", ")
}

func localAddrs(t *backend.Tunnel) string {
	if t.Connection == nil {
		return ""
	}
	return joined(t.Connection.LocalAddrs)
}

func remoteAddrs(t *backend.Tunnel) string {
	if t.Connection == nil {
		return ""
	}
	return joined(t.Connection.RemoteAddrs)
}

// pastText says of something that is down how it failed and when it was last
// up, as far as that is known.
func pastText(s *backend.Snapshot, p *backend.Past, now time.Time) string {
	var parts []string
	if f := p.Failure; f != nil {
		text := f.Text
		if f.Count > 1 {
			text += fmt.Sprintf(" (%d times)", f.Count)
		}
		parts = append(parts, fmt.Sprintf("failed %s ago: %s", age(f.At, now), text))
	}
	switch {
	case !p.LastUp.IsZero():
		parts = append(parts, fmt.Sprintf("last up %s ago", age(p.LastUp, now)))
	case !s.Watched.IsZero() && now.Sub(s.Watched) > 2*time.Second:
		parts = append(parts, fmt.Sprintf("not up in the last %s", age(s.Watched, now)))
	}
	return strings.Join(parts, "; ")
}

// due gives the time until a timer ends, "" where there is none.
func due(timers []engine.Timer, name string, now time.Time) string {
	for _, t := range timers {
		if t.Name != name {
			continue
		}
		if left := t.Due.Sub(now); left > -time.Second {
			return span(max(left.Round(time.Second), 0))
		}
		return "overdue " + age(t.Due, now)
	}
	return ""
}

// octets gives a count in a unit that fits: 812 B, 13.2 KiB.
func octets(n engine.Opt[uint64]) string {
	v, ok := n.Get()
	if !ok {
		return ""
	}
	if v < 1024 {
		return fmt.Sprintf("%d B", v)
	}
	x, unit := float64(v), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if x /= 1024; x < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", x, unit)
}

// writeLiveSAs writes all that the daemon tells of every SA, for -o wide.
func writeLiveSAs(app *App, t *term.Terminal, s *backend.Snapshot, findings []diag.Finding, now time.Time, want doc.Wanted) error {
	w := &details{Writer: bufio.NewWriter(t.Out), app: app, term: t, now: now, findings: findings}
	first := true
	for i := range s.Tunnels {
		tunnel := &s.Tunnels[i]
		if want != nil && !want(tunnel.Name, "") {
			continue
		}
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		w.tunnel(s, tunnel, want)
	}
	if first {
		fmt.Fprintln(w, "Nothing is configured or active.")
	}
	return w.Flush()
}

// details writes everything about SAs, a line for each thing.
type details struct {
	*bufio.Writer
	app  *App
	term *term.Terminal
	now  time.Time
	// findings about what is written; nil where they stand elsewhere.
	findings []diag.Finding
}

func (w *details) line(indent int, label, text string) {
	if text != "" {
		fmt.Fprintf(w, "%*s%-14s %s\n", indent, "", label, clean.Text(text))
	}
}

func (w *details) tunnel(s *backend.Snapshot, t *backend.Tunnel, want doc.Wanted) {
	if len(t.SAs) == 0 {
		fmt.Fprintf(w, "%s  %s\n", w.term.Paint(term.Strong, clean.Text(t.Name)), w.term.Paint(term.Bad, doc.Down))
		w.line(2, "local", localAddrs(t))
		w.line(2, "remote", remoteAddrs(t))
		w.line(2, "past", pastText(s, &t.Past, w.now))
	}
	for _, sa := range t.SAs {
		w.ike(t, sa)
		for _, c := range sa.Children {
			if want == nil || want(t.Name, c.Name) {
				w.child(c)
			}
		}
	}
	for i := range t.Children {
		c := &t.Children[i]
		if len(c.SAs) > 0 || want != nil && !want(t.Name, c.Name) {
			continue
		}
		fmt.Fprintf(w, "  %s  %s\n", w.term.Paint(term.Strong, clean.Text(c.Name)), w.term.Paint(term.Bad, doc.Down))
		if c.Config != nil {
			w.line(4, "local", joined(c.Config.LocalTS))
			w.line(4, "remote", joined(c.Config.RemoteTS))
		}
		w.line(4, "past", pastText(s, &c.Past, w.now))
	}
}

func (w *details) ike(t *backend.Tunnel, sa *engine.IKESA) {
	fmt.Fprintf(w, "%s  IKEv%d  %s\n", w.term.Paint(term.Strong, clean.Text(fmt.Sprintf("%s[%d]", sa.Name, sa.UniqueID))),
		sa.Version, w.term.Paint(ikeMeaning(sa.State), clean.Text(string(sa.State))))
	role := "responder"
	if sa.Initiator.Or(false) {
		role = "initiator"
	}
	w.line(2, "SPIs", fmt.Sprintf("%s_i %s_r, we are the %s", sa.InitiatorSPI, sa.ResponderSPI, role))
	w.line(2, "local", endpointText(sa.Local.Host, sa.Local.Port)+identity(sa.Local.ID))
	w.line(2, "remote", endpointText(sa.Remote.Host, sa.Remote.Port)+identity(sa.Remote.ID))
	w.line(2, "EAP identity", sa.RemoteEAPID)
	w.line(2, "XAuth identity", sa.RemoteXAuthID)
	w.line(2, "suite", sa.Suite.Keyword)
	w.line(2, "NAT", natWord(&sa.NAT))
	w.line(2, "virtual IPs", strings.Join(append(append([]string{}, sa.LocalVIPs...), sa.RemoteVIPs...), " "))
	w.line(2, "established", ago(w.app, sa.Established, w.now))
	w.timers(2, sa.Timers)
	w.line(2, "tasks queued", joined(sa.TasksQueued))
	w.line(2, "tasks active", joined(sa.TasksActive))
	w.line(2, "tasks passive", joined(sa.TasksPassive))
	w.line(2, "waiting for", sa.Waiting)
	w.line(2, "finding", worstAbout(w.findings, sa))
	if t.Connection == nil {
		w.line(2, "connection", "no longer configured")
	} else if d := t.Connection.DPDDelay.Or(0); d > 0 {
		w.line(2, "DPD", "after "+span(d)+" of silence")
	}
}

func (w *details) child(c *engine.ChildSA) {
	fmt.Fprintf(w, "  %s  %s\n", w.term.Paint(term.Strong, clean.Text(fmt.Sprintf("%s{%d}", c.Name, c.UniqueID))), w.term.Paint(childMeaning(c.State), clean.Text(string(c.State))))
	w.line(4, "carries", childNote(c))
	w.line(4, "SPIs", childSPIs(c)+" (in / out)")
	w.line(4, "suite", c.Suite.Keyword)
	w.line(4, "local", joined(c.LocalTS))
	w.line(4, "remote", joined(c.RemoteTS))
	w.line(4, "in", traffic(c.BytesIn, c.PacketsIn, c.LastIn, w.now))
	w.line(4, "out", traffic(c.BytesOut, c.PacketsOut, c.LastOut, w.now))
	w.line(4, "installed", ago(w.app, c.Installed, w.now))
	w.timers(4, c.Timers)
	if id, ok := c.ReqID.Get(); ok {
		w.line(4, "reqid", fmt.Sprint(id))
	}
	w.line(4, "label", c.Label)
}

func (w *details) timers(indent int, timers []engine.Timer) {
	for _, t := range timers {
		w.line(indent, t.Name, fmt.Sprintf("in %s, at %s", due(timers, t.Name, w.now), w.app.clock(t.Due)))
	}
}

// ago gives a time and how long ago it was.
func ago(app *App, then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s ago, at %s", age(then, now), app.clock(then))
}

func traffic(bytes, packets engine.Opt[uint64], last, now time.Time) string {
	if bytes.IsZero() {
		return ""
	}
	text := fmt.Sprintf("%s, %d packets", octets(bytes), packets.Or(0))
	if !last.IsZero() {
		text += fmt.Sprintf(", the last %s ago", age(last, now))
	}
	return text
}
