package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/page"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// View draws the screen.
func (m *Model) View() tea.View {
	var content string
	m.hold(func() { content = m.render() })
	v := tea.NewView(content)
	v.AltScreen = true
	v.MouseMode = tea.MouseModeCellMotion
	v.WindowTitle = "cvlanctl"
	return v
}

// render draws every line of the screen, each exactly as wide as it is.
func (m *Model) render() string {
	if m.width <= 0 || m.height <= 0 {
		return ""
	}
	if m.frame.small {
		return m.smallScreen()
	}
	var b strings.Builder
	b.Grow(m.width * m.height * 2)
	line := func(l theme.Line) { b.WriteString(m.theme.Render(l, m.width)) }
	line(m.titleBar())
	b.WriteByte('\n')
	line(m.tabBar())
	b.WriteByte('\n')
	var body []theme.Line
	if m.overlay != nil {
		body = m.overlay.View(m.theme, m.frame.page)
	} else {
		body = m.current().View(m.theme, m.frame.page)
		if m.past() && m.current().Key() != logPage {
			fade(body)
		}
	}
	status := m.status()
	for i := range m.frame.page.H + 1 - len(status) {
		if i < len(body) {
			line(body[i])
		} else {
			line(theme.Line{})
		}
		b.WriteByte('\n')
	}
	for i, l := range status {
		if i > 0 {
			b.WriteByte('\n')
		}
		line(l)
	}
	return b.String()
}

// smallScreen says that there is no room.
func (m *Model) smallScreen() string {
	lines := []string{
		fmt.Sprintf("cvlanctl needs %d columns and %d rows;", MinWidth, MinHeight),
		fmt.Sprintf("this terminal has %d by %d.", m.width, m.height),
		"Make it larger, or press q to quit.",
	}
	var out []string
	for _, l := range lines {
		for _, part := range widget.Wrap(l, m.width) {
			out = append(out, m.theme.Render(theme.L(theme.S(theme.Plain, part)), m.width))
		}
	}
	return strings.Join(out[:min(len(out), m.height)], "\n")
}

// sides sets left and right parts of a line at its two ends; the left gives
// way where there is no room for both.
func sides(width int, left, right []theme.Span) []theme.Span {
	used, room := 0, width
	for _, s := range right {
		room -= theme.Width(s.Text)
	}
	var out []theme.Span
	for _, s := range left {
		w := theme.Width(s.Text)
		if used+w > room-1 {
			break
		}
		used += w
		out = append(out, s)
	}
	if room > used {
		out = append(out, theme.S(theme.Plain, strings.Repeat(" ", room-used)))
	}
	return append(out, right...)
}

// titleBar names program, source and host, how far the source has been read,
// and the time.
func (m *Model) titleBar() theme.Line {
	d := m.options.Data
	state, role := m.state(d.Progress())
	right := []theme.Span{theme.S(role, state+"  ")}
	if m.options.Host != "" && m.width >= 100 {
		right = append(right, theme.S(theme.Muted, m.options.Host+"  "))
	}
	right = append(right, theme.S(theme.Muted, m.now.UTC().Format("15:04:05")+" UTC "))
	room := m.width - 12
	for _, s := range right {
		room -= theme.Width(s.Text)
	}
	title := d.Title()
	if w := theme.Width(title); w > room {
		// The end of a path says more than its beginning.
		kind, path, _ := strings.Cut(title, ":")
		title = kind + ":" + m.theme.FitLeft(path, room-theme.Width(kind)-1)
	}
	left := []theme.Span{theme.S(theme.Title, " cvlanctl"), theme.S(theme.Plain, "  "+title)}
	return theme.Line{Bar: true, Spans: sides(m.width, left, right)}
}

// state says how the source does.
func (m *Model) state(p feed.Progress) (string, theme.Role) {
	events := countWords(p.Events, "packet")
	switch d := m.options.Data.Daemon(); {
	case m.paused:
		return "paused", theme.Warning
	case m.outer != nil:
		return "what the test saw, Esc leads back", theme.Busy
	case d != nil:
		return m.daemonState(d)
	}
	switch {
	case p.Done && p.Err != nil:
		return "ended with an error after " + events, theme.Bad
	case p.Done:
		return events, theme.Muted
	case m.options.Data.Live():
		return "live, " + events, theme.Good
	case p.Size > 0 && p.Read >= p.Size:
		return "diagnosing " + events, theme.Busy
	case p.Size > 0:
		done := float64(p.Read) / float64(p.Size)
		return "reading " + widget.Gauge(m.theme, done, 10) + " " + widget.Percent(int(p.Read), int(p.Size)), theme.Busy
	}
	return "reading, " + events, theme.Busy
}

// daemonState says whether the daemon is there.
func (m *Model) daemonState(d *feed.Daemon) (string, theme.Role) {
	name := strings.TrimSpace(d.Version.Daemon + " " + d.Version.Version)
	switch t := m.options.Data.Trace(); {
	case m.options.Data.Progress().Done:
		return strings.TrimSpace("no more news of " + name), theme.Bad
	case !d.Away.IsZero():
		return fmt.Sprintf("AWAY for %s, trying again", m.now.Sub(d.Away).Truncate(time.Second)), theme.Bad
	case !t.Daemon.Connected:
		return "connecting", theme.Busy
	case m.silent(d) > 0:
		return backend.NoAnswer(m.silent(d)), theme.Bad
	}
	return strings.TrimSpace(name + " live"), theme.Good
}

func countWords(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return page.Thousands(n) + " " + noun + "s"
}

// roomy is the width from which on tabs have space around them.
const roomy = 100

// tab is the text of a page's tab.
func (m *Model) tab(p page.Page) string {
	if m.width < roomy {
		return p.Key() + " " + p.Name()
	}
	return " " + p.Key() + " " + p.Name() + " "
}

// tabBar shows the pages, and what the worst finding is.
func (m *Model) tabBar() theme.Line {
	left := []theme.Span{theme.S(theme.Plain, " ")}
	room := m.width - 2
	for i, p := range m.pages {
		role := theme.Muted
		if i == m.open {
			role = theme.Mark
		}
		left = append(left, theme.S(role, m.tab(p)), theme.S(theme.Plain, " "))
		room -= theme.Width(m.tab(p)) + 1
	}
	worst := m.worst()
	if w := theme.Width(worst.Text); w > room {
		worst.Text = m.theme.Fit(worst.Text, room, false)
	}
	return theme.Line{Spans: sides(m.width, left, []theme.Span{worst, theme.S(theme.Plain, " ")})}
}

// worst names the worst finding; a source without one above info is healthy
// as far as it can tell.
func (m *Model) worst() theme.Span {
	d := m.options.Data
	if m.past() {
		return theme.S(theme.Warning, "all of the past")
	}
	if findings := d.Findings(); !diag.Healthy(findings) {
		words, role := page.Severity(findings[0].Severity)
		return theme.S(role, words+" "+findings[0].ID)
	}
	if d.Daemon() != nil {
		return theme.S(theme.Good, "healthy")
	}
	if d.Progress().Done && d.Progress().Events > 0 {
		return theme.S(theme.Good, "healthy")
	}
	return theme.Span{}
}

// past says whether the source is a daemon that is not there: what is shown of
// it was so before.
func (m *Model) past() bool {
	d := m.options.Data.Daemon()
	return d != nil && m.outer == nil && (!d.Away.IsZero() || !m.options.Data.Trace().Daemon.Connected || m.silent(d) > 0)
}

// silent is for how long a daemon that is there has owed its list.
func (m *Model) silent(d *feed.Daemon) time.Duration { return backend.Silent(d.Listed, m.now) }

// logPage is the key of the page of what happened, which is always of the past.
const logPage = "7"

// fade takes the colour out of lines: nothing in them is of now.
func fade(lines []theme.Line) {
	for i := range lines {
		for j := range lines[i].Spans {
			lines[i].Spans[j].Role = theme.Muted
		}
	}
}

// tabAt gives the page whose tab is at column x, -1 where none is.
func (m *Model) tabAt(x int) int {
	at := 1
	for i, p := range m.pages {
		w := theme.Width(m.tab(p))
		if x >= at && x < at+w {
			return i
		}
		at += w + 1
	}
	return -1
}

// status shows the prompt, or filter, selection, what was dropped and the last
// action's result. It is one line, but for words that have no room on one: what
// went wrong is read to its end, over the last rows of the page.
func (m *Model) status() []theme.Line {
	if p := m.prompt; p != nil {
		return m.promptLines(p)
	}
	right := m.standing()
	room := m.width - 3
	for _, s := range right {
		room -= theme.Width(s.Text)
	}
	words, role := m.message()
	switch {
	case theme.Width(words) > room:
		return m.barLines(words, role)
	case words != "":
		return []theme.Line{{Bar: true, Spans: sides(m.width, []theme.Span{theme.S(role, " "+words)}, right)}}
	case m.overlay != nil:
		return []theme.Line{{Bar: true, Spans: sides(m.width, hints([]theme.Binding{{Keys: []string{"esc"}, Hint: "close"}, {Keys: []string{"down"}, Hint: "scroll"}}), right)}}
	}
	return []theme.Line{{Bar: true, Spans: sides(m.width, hints(m.hinted()), right)}}
}

// barLines sets words over as many lines as they need, but never over more than
// half of the page.
func (m *Model) barLines(words string, role theme.Role) []theme.Line {
	var lines []theme.Line
	for _, part := range widget.Wrap(words, m.width-2) {
		lines = append(lines, theme.Line{Bar: true, Spans: []theme.Span{theme.S(role, " "+part)}})
	}
	return lines[:min(len(lines), m.frame.page.H/2)]
}

// promptLines shows what is typed behind its label, and a question that has no
// room beside its answer over several lines.
func (m *Model) promptLines(p *prompt) []theme.Line {
	label := theme.Width(p.label)
	if p.yes != nil && label > m.width-2 {
		return m.barLines(p.label, theme.Accent)
	}
	spans := []theme.Span{theme.S(theme.Accent, " "+p.label)}
	return []theme.Line{{Bar: true, Spans: append(spans, p.input.View(m.width-label-2)...)}}
}

// message is what the last action came to, or what is wrong with the source.
func (m *Model) message() (string, theme.Role) {
	switch err := m.options.Data.Progress().Err; {
	case m.last != "" && m.lastBad:
		return m.last, theme.Bad
	case m.last != "":
		return m.last, theme.Plain
	case m.overlay == nil && err != nil:
		return err.Error(), theme.Bad
	}
	return "", theme.Plain
}

// standing is what the status line always shows: what was dropped, the filter,
// and where the selection is.
func (m *Model) standing() []theme.Span {
	st := m.current().Status()
	var right []theme.Span
	if st.Dropped > 0 {
		right = append(right, theme.S(theme.Warning, page.Thousands(st.Dropped)+" older not kept  "))
	}
	if lost := m.options.Data.Trace().Counts.Dropped; lost > 0 {
		right = append(right, theme.S(theme.Warning, page.Thousands(int64(lost))+" dropped  "))
	}
	if m.filters[m.open] != "" {
		right = append(right, theme.S(theme.Accent, "/"+m.theme.Fit(m.filters[m.open], min(20, theme.Width(m.filters[m.open])), false)+"  "))
	}
	if st.Scope != "" {
		right = append(right, theme.S(theme.Accent, st.Scope+"  "))
	}
	if st.Shown > 0 {
		right = append(right, theme.S(theme.Muted, fmt.Sprintf("%s of %s ", page.Thousands(int64(st.At)), page.Thousands(int64(st.Shown)))))
	}
	return right
}

// hinted are the few keys that the status line reminds of: the page's own
// that work now, the filter and help.
func (m *Model) hinted() []theme.Binding {
	b := []theme.Binding{{Keys: []string{"?"}, Hint: "keys"}}
	for _, k := range append(m.current().Keys(), m.shared()...) {
		if k.Off == "" && k.Hint != "" && theme.Find(b, k.Keys[0]) == nil {
			b = append(b, k)
		}
	}
	return b
}

func hints(bindings []theme.Binding) []theme.Span {
	spans := []theme.Span{theme.S(theme.Plain, " ")}
	for _, b := range bindings {
		// A key and its word are one span, so that neither is shown alone.
		spans = append(spans, theme.S(theme.Muted, theme.KeyName(b.Keys[0])+" "+b.Hint+"   "))
	}
	return spans
}

// help explains the keys of the open page.
func (m *Model) help() *widget.Pane {
	var pages []theme.Binding
	for _, p := range m.pages {
		pages = append(pages, theme.Binding{Keys: []string{p.Key()}, Does: p.Name()})
	}
	return &widget.Pane{
		Title: "Keys of " + m.current().Name(),
		Lines: widget.Help([]widget.HelpGroup{
			{Title: "this page", Bindings: m.current().Keys()},
			{Title: "everywhere", Bindings: m.shared()},
			{Title: "moving", Bindings: theme.Moving()},
			{Title: "pages", Bindings: pages},
		}, m.width),
	}
}
