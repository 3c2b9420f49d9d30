package tui

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/internal/typo"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/page"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// prompt is a line that the user types in place of the status line.
type prompt struct {
	label  string
	before string // what Esc brings back
	input  widget.Input
	done   func(text string) tea.Cmd
	typed  func(text string) tea.Cmd // after every key, nil for not
	waits  bool                      // typed has not been called for the last key
	yes    func() tea.Cmd            // a question: y does it, any other key does not
}

func (m *Model) ask(label, text string, done, typed func(string) tea.Cmd) {
	m.prompt = &prompt{label: label, before: text, done: done, typed: typed}
	m.prompt.input.SetText(text)
}

func (m *Model) promptKey(k tea.KeyPressMsg) tea.Cmd {
	p := m.prompt
	if p.yes != nil {
		m.prompt = nil
		if k.String() == "y" || k.String() == "Y" {
			return p.yes()
		}
		m.say("not done")
		return nil
	}
	switch name := k.String(); {
	case name == "enter":
		m.prompt = nil
		return p.done(p.input.Text())
	case name == "esc":
		m.prompt = nil
		if p.typed != nil {
			p.typed(p.before)
		}
		return nil
	case name == "backspace" && p.input.Text() == "":
		m.prompt = nil
		return nil
	case !p.input.Key(name):
		p.input.Insert(k.Text)
	}
	m.typed()
	return nil
}

// typed tells who asked what stands in the prompt now. Where that makes many
// rows anew, it waits for the next pulse, so that no key waits for another.
func (m *Model) typed() {
	if m.prompt.waits = m.current().Status().Total > rowsPerFrame; !m.prompt.waits {
		m.tell()
	}
}

func (m *Model) tell() {
	m.prompt.waits = false
	if m.prompt.typed != nil {
		m.prompt.typed(m.prompt.input.Text())
	}
}

// command runs a line that was typed after ":".
func (m *Model) command(line string) tea.Cmd {
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	switch verb {
	case "":
	case "q", "quit":
		return tea.Quit
	case "help":
		m.overlay = m.help()
	case "explain":
		m.explain(rest)
	case "up", "down", "rekey", "dpd":
		return m.commandOrder(verb, rest)
	case "test-peer":
		return m.testPeer(rest)
	case "fault":
		return m.fault(rest)
	case "goto":
		frame, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(rest, "frame")), 10, 64)
		if err != nil || frame < 1 {
			m.fail("goto wants the number of a frame: goto 12")
			return nil
		}
		if !m.jump("6", page.Target{Frame: frame}) {
			m.fail(fmt.Sprintf("frame %d is not on the Packets page", frame))
		}
	default:
		m.fail(verb + " is no command; there are " + theme.Commands)
	}
	return nil
}

// commandOrder makes an order of a line that was typed: NAME is a connection, a
// child, or CONNECTION/CHILD.
func (m *Model) commandOrder(verb, name string) tea.Cmd {
	d := m.options.Data.Daemon()
	switch {
	case d == nil:
		m.fail("a capture takes no orders")
		return nil
	case name == "":
		m.fail(verb + " wants a name: " + verb + " CONNECTION, or " + verb + " CONNECTION/CHILD")
		return nil
	}
	o := page.Order{Verb: verb}
	if verb == "up" {
		if before, dir, ok := strings.Cut(name, " keys "); ok {
			name, o.KeyDir = strings.TrimSpace(before), strings.TrimSpace(dir)
		}
	}
	connection, child, both := strings.Cut(name, "/")
	for _, c := range d.Connections {
		for _, cc := range c.Children {
			if o.Connection == "" && (both && c.Name == connection && cc.Name == child || !both && cc.Name == name && d.Connection(name) == nil) {
				o.Connection, o.Child = c.Name, cc.Name
			}
		}
		if !both && c.Name == name {
			o.Connection, o.Child = c.Name, ""
		}
	}
	if o.Connection == "" {
		m.fail("nothing is configured under the name " + name + "; there is " + configured(d))
		return nil
	}
	if verb == "dpd" {
		o.Child = ""
	}
	switch verb {
	case "up":
		if o.KeyDir != "" {
			o.Question = "write the keys of " + name + " to " + o.KeyDir + "? They open all its traffic; charon 5.9.8 may lock up over it."
		}
	case "down":
		o.Question = "take down " + name + "? Its traffic stops."
	case "rekey":
		o.Question = "rekey " + name + "?"
	}
	return m.order(o)
}

// configured names the first connections of a daemon.
func configured(d *feed.Daemon) string {
	const most = 8
	var names []string
	for _, c := range d.Connections[:min(len(d.Connections), most)] {
		names = append(names, c.Name)
	}
	switch {
	case len(names) == 0:
		return "no connection"
	case len(d.Connections) > most:
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}

// explain shows an entry of the catalogue.
func (m *Model) explain(id string) {
	if m.options.Explain == nil {
		m.fail("there is no catalogue to explain from")
		return
	}
	if id == "" {
		m.fail("explain wants the id of a finding: explain no-proposal-ike")
		return
	}
	e, ok := m.options.Explain(id)
	if !ok {
		m.fail("the catalogue has no " + id + typo.Question(id, diag.Names()))
		return
	}
	m.overlay = entryPane(&e, m.width)
}

// entryPane sets an entry of the catalogue as text.
func entryPane(e *diag.Entry, width int) *widget.Pane {
	p := &widget.Pane{Title: e.ID + ": " + e.Title}
	part := func(head, text string) {
		if text == "" {
			return
		}
		p.Lines = append(p.Lines, theme.L(theme.S(theme.Muted, "  "+head)))
		for _, line := range widget.Wrap(text, min(width, 100)-6) {
			p.Lines = append(p.Lines, theme.L(theme.S(theme.Plain, "    "+line)))
		}
		p.Lines = append(p.Lines, theme.Line{})
	}
	part("what you see", e.Symptom)
	part("why", e.Cause)
	for _, s := range e.Shows {
		part("how "+s.Source+" shows it", s.What)
	}
	if len(e.Remedies) > 0 {
		p.Lines = append(p.Lines, theme.L(theme.S(theme.Muted, "  what to change")))
		for _, r := range e.Remedies {
			p.Lines = append(p.Lines, theme.L(theme.S(theme.Accent, "    "+r.Side), theme.S(theme.Muted, "  "+r.Platform)))
			for _, line := range widget.Wrap(r.Change, min(width, 100)-8) {
				p.Lines = append(p.Lines, theme.L(theme.S(theme.Plain, "      "+line)))
			}
		}
		p.Lines = append(p.Lines, theme.Line{})
	}
	part("how to tell it from others", e.Distinguish)
	part("RFC", strings.Join(e.RFC, ", "))
	part("related", strings.Join(e.Related, ", "))
	sure := e.Sure()
	part("how sure it can be", sure.Confidence.String()+" at best. "+sure.Why)
	part("what would make it surer", sure.Surer)
	return p
}

// write writes what the open page shows to a file: JSON where the name says
// so, else Markdown.
func (m *Model) write(name string) tea.Cmd {
	name = strings.TrimSpace(name)
	if name == "" {
		m.say("nothing written")
		return nil
	}
	sheet := m.current().Sheet()
	sheet.Source = m.options.Data.Title()
	var data []byte
	var err error
	switch {
	case strings.HasSuffix(name, ".json"):
		data, err = sheet.JSON()
	case strings.HasSuffix(name, ".md"):
		data = sheet.Markdown()
	default:
		err = errors.New("the name must end in .json or .md")
	}
	if err != nil {
		m.fail(fmt.Sprintf("%s: %v", name, err))
		return nil
	}
	create := m.options.Write
	return func() tea.Msg { return written{name, len(data), create(name, data)} }
}
