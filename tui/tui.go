// Package tui is the screen: one tea.Model that routes keys, mouse and time to
// pages, and draws the frame around them.
//
// Contract: nothing blocks Update. The data is held for the length of one
// Update or View and no longer; it is looked at once a frame, however many
// events came; what takes time (a packet read again from a file, a file
// written) is a tea.Cmd. The package never reads a capture or a socket
// itself: all that comes in comes through Options.
package tui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/page"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// Options are all that the screen needs from outside.
type Options struct {
	Data feed.Data
	// Packet reads one packet again by its frame; the packet is the caller's.
	// It is called on a goroutine of its own. nil where that cannot be done.
	Packet func(frame int64) (*event.Packet, error)
	// Explain looks an id of the catalogue up, nil where there is none.
	Explain func(id string) (diag.Entry, bool)
	// Write creates a file; it must refuse to replace one. nil where nothing
	// may be written.
	Write func(name string, data []byte) error
	// Act has a daemon do something and says in words what came of it. It is
	// called on a goroutine of its own and returns in bounded time. nil where
	// nothing takes orders.
	Act func(page.Order) (string, error)
	// Faults can be made by an order, to see what they look like; nil where
	// nothing may be broken.
	Faults []Fault
	// TestPeer tests a peer of a policy file, tells each step as it begins, while it
	// runs and as it ends, and says in words what came of it. It is called on a
	// goroutine of its own, and soon returns when ctx is done. nil where there is
	// nothing to test.
	TestPeer func(ctx context.Context, t PeerTest, tell func(TestStep)) (string, error)
	Now      func() time.Time // the clock in the title bar and of live ages
	Host     string           // this machine's name, "" for none
	Theme    theme.Options
	// Page is the key of the page to open first, "" for the first one.
	Page string
}

// Fault is something that can be made wrong on purpose.
type Fault struct{ ID, What string }

// Model is the screen.
type Model struct {
	options Options
	theme   *theme.Theme
	width   int
	height  int
	frame   frame
	now     time.Time
	pages   []page.Page
	seen    []uint64 // version that each page has synced to
	open    int
	stack   []int // pages that Esc leads back to
	overlay *widget.Pane
	pick    func(key string) (cmd tea.Cmd, taken bool) // what the overlay does with a key; nil for nothing
	prompt  *prompt
	test    *testRun // the last one, nil before the first
	outer   *outside // what lies behind what a test has seen, nil where that is not shown
	filters []string
	last    string // the last action's result
	lastBad bool
	rest    int // ticks to let pass before the next sync
	idle    int // ticks since the data last changed
	paused  bool
	orders  int // under way
}

// New makes the screen.
func New(o Options) *Model {
	m := &Model{
		options: o, theme: theme.New(o.Theme), now: o.Now(),
		pages: pages(),
	}
	m.seen = make([]uint64, len(m.pages))
	m.filters = make([]string, len(m.pages))
	for i, p := range m.pages {
		m.seen[i] = ^uint64(0)
		if p.Key() == o.Page {
			m.open = i
		}
	}
	return m
}

// tick is the pulse of the screen: data is looked at once each.
type tick time.Time

// The pulse while data is coming, and when it has not changed for a while.
const (
	framePulse = 50 * time.Millisecond
	idlePulse  = 500 * time.Millisecond
	calm       = 20 // unchanged frames before the pulse slows
)

// Init starts the pulse, and asks whether the terminal is light or dark.
func (m *Model) Init() tea.Cmd {
	m.hold(m.sync)
	if !m.options.Theme.Colour {
		return m.pulse()
	}
	return tea.Batch(m.pulse(), tea.RequestBackgroundColor)
}

func (m *Model) pulse() tea.Cmd {
	every := framePulse
	if m.idle > calm {
		every = idlePulse
	}
	return tea.Tick(every, func(t time.Time) tea.Msg { return tick(t) })
}

// hold runs f while the data stays as it is.
func (m *Model) hold(f func()) {
	m.options.Data.Hold()
	defer m.options.Data.Release()
	f()
}

// rowsPerFrame is how many rows are made anew without a rest: a page with
// more waits that many more frames before it looks at the data again.
const rowsPerFrame = 10_000

// sync brings the open page up to date with the data.
func (m *Model) sync() {
	w, ok := m.current().(page.Worker)
	if v := m.options.Data.Version(); m.seen[m.open] != v || ok && w.Working() {
		m.idle = 0
		m.seen[m.open] = v
		m.resync()
		return
	}
	m.idle++
}

// resync makes the open page's rows anew.
func (m *Model) resync() {
	m.current().Sync(m.options.Data, m.present())
	m.rest = m.current().Status().Total / rowsPerFrame
}

// present is the time that ages are counted to: now on a live source, when it
// was lost on one that is away, else the end of what was recorded.
func (m *Model) present() time.Time {
	if d := m.options.Data.Daemon(); d != nil && !d.Away.IsZero() {
		return d.Away
	}
	if m.options.Data.Live() {
		return m.now
	}
	return m.options.Data.Trace().Last
}

// current gives the open page.
func (m *Model) current() page.Page { return m.pages[m.open] }

// fetched is a packet that a page asked for.
type fetched struct {
	page   int
	frame  int64
	packet *event.Packet
	err    error
}

// obeyed is what came of an order.
type obeyed struct {
	order page.Order
	words string
	err   error
}

// written is the result of writing a file.
type written struct {
	name string
	size int
	err  error
}
