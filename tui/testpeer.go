package tui

import (
	"fmt"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/page"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// TestStep is a step of the test of a peer.
type TestStep struct {
	Name     string
	Status   string // pass, warn, fail, skip; "" while it runs
	Took     time.Duration
	Detail   string
	Findings []diag.Finding
	// Data is what the test has seen, for the pages to show; nil for nothing. It
	// is the same in each step.
	Data feed.Data
}

// peerTest is the test of a peer that runs, or the last one. Its steps come on
// another goroutine than the screen's.
type peerTest struct {
	pane *widget.Pane

	mu    sync.Mutex
	steps []TestStep
	ended string // what came of it, "" while it runs
	bad   bool
}

// end takes what came of the test.
func (p *peerTest) end(words string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.bad = words, err != nil
	if err != nil {
		p.ended = err.Error()
	}
}

// tell takes a step as it begins, and again as it ends.
func (p *peerTest) tell(s TestStep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.steps); n > 0 && p.steps[n-1].Status == "" {
		p.steps = p.steps[:n-1]
	}
	p.steps = append(p.steps, s)
}

// testPeer begins the test of a peer of a policy file, and shows its steps as
// they come.
func (m *Model) testPeer(line string) tea.Cmd {
	name, file, ok := strings.Cut(line, " ")
	test := m.options.TestPeer
	switch file = strings.TrimSpace(file); {
	case test == nil:
		m.fail("this source has no peers to test")
		return nil
	case !ok || name == "" || file == "":
		m.fail("test-peer wants a peer and the policy file that has it: test-peer office site.yaml")
		return nil
	}
	run := &peerTest{pane: &widget.Pane{Title: "Test of " + name}}
	m.test = run
	m.showSteps()
	m.orders++
	return func() tea.Msg {
		words, err := test(name, file, run.tell)
		run.end(words, err)
		return obeyed{page.Order{Verb: "test-peer", Connection: name}, words, err}
	}
}

// showSteps lays the steps of the test over the page. Enter shows what they are
// known from.
func (m *Model) showSteps() {
	run := m.test
	m.overlay = run.pane
	m.pick = func(key string) (tea.Cmd, bool) {
		data := run.data()
		if key != "enter" || data == nil {
			return nil, false
		}
		return func() tea.Msg { return look{data} }, true
	}
}

// data is what the test has seen, nil for nothing.
func (p *peerTest) data() feed.Data {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.steps) == 0 {
		return nil
	}
	return p.steps[len(p.steps)-1].Data
}

// look has the screen show what a test has seen; nil leads back to the source.
type look struct{ at feed.Data }

// outside is the screen as it was before it showed what a test has seen.
type outside struct {
	options Options
	pages   []page.Page
	seen    []uint64
	filters []string
	stack   []int
	open    int
	paused  bool
}

// look shows what a test has seen on pages of its own, the findings first, or
// leads back to where one came from.
func (m *Model) look(at feed.Data) {
	switch {
	case at == nil && m.outer != nil:
		o := m.outer
		m.options, m.pages, m.seen, m.filters, m.stack, m.open, m.paused, m.outer = o.options, o.pages, o.seen, o.filters, o.stack, o.open, o.paused, nil
		m.showSteps()
	case at != nil && m.outer == nil:
		m.outer = &outside{m.options, m.pages, m.seen, m.filters, m.stack, m.open, m.paused}
		inside := m.options
		inside.Data, inside.Page = at, diagnosesPage
		inside.Act, inside.TestPeer, inside.Faults, inside.Packet = nil, nil, nil, nil // they are the source's
		fresh := New(inside)
		m.options, m.pages, m.seen, m.filters, m.stack, m.open, m.paused = inside, fresh.pages, fresh.seen, fresh.filters, nil, fresh.open, false
	}
	m.hold(m.sync)
}

// diagnosesPage is the key of the page of findings.
const diagnosesPage = "5"

// showTest brings what is shown of a test up to date.
func (m *Model) showTest() {
	if m.test == nil || m.overlay != m.test.pane {
		return
	}
	m.test.mu.Lock()
	defer m.test.mu.Unlock()
	m.test.pane.Lines = testLines(m.test.steps, m.width)
	if m.test.ended != "" {
		role := theme.Good
		if m.test.bad {
			role = theme.Bad
		}
		m.test.pane.Lines = append(m.test.pane.Lines, theme.Line{})
		for _, words := range widget.Wrap(m.test.ended, min(m.width, 120)-3) {
			m.test.pane.Lines = append(m.test.pane.Lines, theme.L(theme.S(role, "  "+words)))
		}
	}
	if n := len(m.test.steps); n > 0 && m.test.steps[n-1].Data != nil {
		m.test.pane.Lines = append(m.test.pane.Lines, theme.Line{}, theme.L(theme.S(theme.Muted, "  Enter shows what this is known from: findings, messages, log")))
	}
}

var testRoles = map[string]theme.Role{"": theme.Busy, "pass": theme.Good, "warn": theme.Warning, "fail": theme.Bad, "skip": theme.Muted}

// testLines writes steps, and under each what it found, how that is known and
// what to do.
func testLines(steps []TestStep, width int) []theme.Line {
	var lines []theme.Line
	text := func(role theme.Role, indent, words string) {
		for _, line := range widget.Wrap(words, min(width, 120)-len(indent)-1) {
			lines = append(lines, theme.L(theme.S(role, indent+line)))
		}
	}
	for i := range steps {
		s := &steps[i]
		mark, took := s.Status, ""
		switch s.Status {
		case "":
			mark = "..."
		case "skip":
		default:
			took = fmt.Sprintf("%8.1f ms", float64(s.Took)/float64(time.Millisecond))
		}
		lines = append(lines, theme.L(theme.S(testRoles[s.Status], fmt.Sprintf("  %-5s ", mark)), theme.S(theme.Plain, fmt.Sprintf("%-26s", s.Name)), theme.S(theme.Muted, took)))
		if s.Detail != "" {
			text(theme.Muted, "        ", s.Detail)
		}
		for j := range s.Findings {
			f := &s.Findings[j]
			if f.Severity >= diag.Info {
				continue
			}
			text(theme.Bad, "        ", f.Summary+"  ["+f.ID+"; :explain "+f.ID+"]")
			for _, e := range f.Evidence {
				text(theme.Muted, "          seen: ", e.What)
			}
			for _, r := range f.Remedies {
				if !r.Other {
					text(theme.Accent, "          do: ", r.Side+": "+r.Change)
				}
			}
		}
	}
	return lines
}
