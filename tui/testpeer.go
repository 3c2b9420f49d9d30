package tui

import (
	"context"
	"errors"
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

// PeerTest says whom to test, and how.
type PeerTest struct {
	Peer, File string // of the policy file
	// Ladder has other ways to authenticate tried where the peer refuses without a
	// reason. Listen has the peer call instead.
	Ladder, Listen bool
}

// testRun is the test of a peer that runs, or the last one. Its steps come on
// another goroutine than the screen's.
type testRun struct {
	peer string
	pane *widget.Pane
	stop context.CancelFunc

	mu    sync.Mutex
	steps []TestStep
	ended string // what came of it, "" while it runs
	bad   bool
}

// end takes what came of the test.
func (p *testRun) end(words string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.bad = words, err != nil
	if err != nil {
		p.ended = err.Error()
	}
}

// tell takes a step as it begins, and again as it ends.
func (p *testRun) tell(s TestStep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.steps); n > 0 && p.steps[n-1].Status == "" {
		p.steps = p.steps[:n-1]
	}
	p.steps = append(p.steps, s)
}

// runs says whether the test has not ended.
func (p *testRun) runs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended == ""
}

// readTest reads what is typed behind test-peer: NAME FILE, and --ladder or
// --listen anywhere.
func readTest(line string) (PeerTest, error) {
	var t PeerTest
	var words []string
	for w := range strings.FieldsSeq(line) {
		switch {
		case w == "--ladder":
			t.Ladder = true
		case w == "--listen":
			t.Listen = true
		case strings.HasPrefix(w, "--"):
			return t, fmt.Errorf("test-peer knows no %s; there are --ladder and --listen", w)
		default:
			words = append(words, w)
		}
	}
	switch {
	case len(words) < 2:
		return t, errors.New("test-peer wants a peer and the policy file that has it: test-peer office site.yaml; --ladder tries other ways where it refuses, --listen has it call")
	case t.Ladder && t.Listen:
		return t, errors.New("test-peer takes one of --ladder and --listen: who calls cannot be asked in other ways")
	}
	t.Peer, t.File = words[0], strings.Join(words[1:], " ")
	return t, nil
}

// testPeer begins the test of a peer of a policy file, and shows its steps as
// they come. Without words it shows the last test again.
func (m *Model) testPeer(line string) tea.Cmd {
	test := m.options.TestPeer
	if test == nil {
		m.fail("this source has no peers to test")
		return nil
	}
	if line == "" && m.test != nil {
		m.showSteps()
		return nil
	}
	t, err := readTest(line)
	switch {
	case err != nil:
		m.fail(err.Error())
		return nil
	case m.test != nil && m.test.runs():
		m.fail("the test of " + m.test.peer + " still runs; :test-peer alone shows it, and c there ends it")
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	run := &testRun{peer: t.Peer, pane: &widget.Pane{Title: "Test of " + t.Peer}, stop: stop}
	m.test = run
	m.showSteps()
	m.orders++
	return func() tea.Msg {
		defer stop()
		words, err := test(ctx, t, run.tell)
		if ctx.Err() != nil {
			err = errors.New("ended before its end")
		}
		run.end(words, err)
		return obeyed{page.Order{Verb: "test-peer", Connection: t.Peer}, words, err}
	}
}

// showSteps lays the steps of the test over the page. Enter shows what they are
// known from.
func (m *Model) showSteps() {
	run := m.test
	m.overlay = run.pane
	m.pick = func(key string) (tea.Cmd, bool) {
		if key == "c" {
			run.stop()
			return nil, false
		}
		data := run.data()
		if key != "enter" || data == nil {
			return nil, false
		}
		return func() tea.Msg { return look{data} }, true
	}
}

// data is what the test has seen, nil for nothing.
func (p *testRun) data() feed.Data {
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
	if m.test.ended == "" {
		m.test.pane.Lines = append(m.test.pane.Lines, theme.Line{}, theme.L(theme.S(theme.Muted, "  c ends the test; Esc hides it, :test-peer shows it again")))
	} else {
		role := theme.Good
		if m.test.bad {
			role = theme.Bad
		}
		m.test.pane.Lines = append(m.test.pane.Lines, theme.Line{})
		for part := range strings.Lines(m.test.ended) {
			for _, words := range widget.Wrap(part, min(m.width, 120)-3) {
				m.test.pane.Lines = append(m.test.pane.Lines, theme.L(theme.S(role, "  "+words)))
			}
		}
	}
	if n := len(m.test.steps); n > 0 && m.test.steps[n-1].Data != nil {
		m.test.pane.Lines = append(m.test.pane.Lines, theme.Line{}, theme.L(theme.S(theme.Muted, "  Enter shows what this is known from: findings, messages, log")))
	}
}

var testRoles = map[string]theme.Role{"": theme.Busy, "pass": theme.Good, "warn": theme.Warning, "fail": theme.Bad, "skip": theme.Muted}

// stepRoom is where the words about a step begin, behind status, name and time.
const stepRoom = 46

// testLines writes steps, and under each what it found, how that is known and
// what to do.
func testLines(steps []TestStep, width int) []theme.Line {
	width = min(width, 120)
	var lines []theme.Line
	text := func(role theme.Role, indent int, label, words string) {
		for _, line := range widget.Wrap(words, width-indent-len(label)-1) {
			lines = append(lines, theme.L(theme.S(role, strings.Repeat(" ", indent)+label+line)))
			label = strings.Repeat(" ", len(label))
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
		line := theme.L(theme.S(testRoles[s.Status], fmt.Sprintf("  %-5s ", mark)), theme.S(theme.Plain, fmt.Sprintf("%-26s", s.Name)), theme.S(theme.Muted, fmt.Sprintf("%-*s", stepRoom-34, took)))
		if words := widget.Wrap(s.Detail, width-stepRoom-1); len(words) == 1 {
			line.Spans = append(line.Spans, theme.S(theme.Muted, words[0]))
			lines = append(lines, line)
		} else {
			lines = append(lines, line)
			text(theme.Muted, 8, "", s.Detail)
		}
		for j := range s.Findings {
			f := &s.Findings[j]
			if f.Severity >= diag.Info {
				continue
			}
			text(theme.Bad, 8, "", f.Summary+"  ["+f.ID+"; :explain "+f.ID+"]")
			for _, e := range f.Sightings() {
				text(theme.Muted, 10, "seen: ", e.Words())
			}
			for _, r := range f.Remedies {
				if !r.Other {
					text(theme.Accent, 10, "do: ", r.Side+": "+r.Change)
				}
			}
		}
	}
	return lines
}
