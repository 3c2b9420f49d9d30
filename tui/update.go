package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/internal/clean"
	"github.com/cloudvlan/cvlanctl/tui/page"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// wheelRows is how far one notch of the wheel scrolls.
const wheelRows = 3

// Update takes in one message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if s, ok := msg.(look); ok { // at other data than what is held for all else
		m.look(s.at)
		return m, nil
	}
	var cmd tea.Cmd
	m.hold(func() { cmd = m.update(msg) })
	return m, cmd
}

func (m *Model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.frame = layout(msg.Width, msg.Height)
	case tea.BackgroundColorMsg:
		m.options.Theme.Light = !msg.IsDark()
		m.theme = theme.New(m.options.Theme)
	case tick:
		if !m.paused {
			m.now = time.Time(msg)
		}
		if m.prompt != nil && m.prompt.waits {
			m.tell()
		}
		if m.rest--; m.rest < 0 && !m.paused {
			m.sync()
		}
		m.showTest()
		return m.pulse()
	case obeyed:
		m.orders--
		m.showTest()
		if msg.order.Verb == "test-peer" && m.test != nil && m.overlay == m.test.pane {
			break // it is said there
		}
		if msg.err != nil {
			m.fail(msg.order.String() + ": " + msg.err.Error())
		} else {
			m.say(msg.words)
		}
	case fetched:
		if p, ok := m.pages[msg.page].(page.Decoder); ok {
			p.Decoded(msg.frame, msg.packet, msg.err)
		}
	case written:
		if msg.err != nil {
			m.fail(msg.err.Error())
		} else {
			m.say(fmt.Sprintf("wrote %s, %d octets", msg.name, msg.size))
		}
	case tea.PasteMsg:
		if m.prompt != nil {
			m.prompt.input.Insert(msg.Content)
			m.typed()
		}
	case tea.KeyPressMsg:
		return m.key(msg)
	case tea.MouseWheelMsg:
		m.wheel(msg.Mouse())
	case tea.MouseClickMsg:
		return m.click(msg.Mouse())
	}
	return nil
}

func (m *Model) say(words string)  { m.last, m.lastBad = words, false }
func (m *Model) fail(words string) { m.last, m.lastBad = words, true }

// bindings are the keys that work now, the open page's before the shared.
func (m *Model) bindings() []theme.Binding {
	b := append(m.current().Keys(), theme.Moving()...)
	b = append(b, m.shared()...)
	for _, p := range m.pages {
		b = append(b, theme.Binding{Action: theme.Action("page " + p.Key()), Keys: []string{p.Key()}, Does: "the page " + p.Name()})
	}
	return b
}

// shared are the keys of every page, with those off that need something from
// outside.
func (m *Model) shared() []theme.Binding {
	b := theme.Shared()
	for i := range b {
		switch {
		case b[i].Action == theme.Write && m.options.Write == nil:
			b[i].Off = "nothing may be written"
		case b[i].Action == theme.Break && len(m.options.Faults) == 0:
			b[i].Off = noFaults
		case b[i].Action == theme.Pause && !m.options.Data.Live():
			b[i].Off = "nothing moves here"
		}
	}
	return b
}

func (m *Model) key(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	if m.prompt != nil {
		return m.promptKey(k)
	}
	if m.frame.small {
		if name == "q" {
			return tea.Quit
		}
		return nil
	}
	m.last = ""
	if m.overlay != nil {
		return m.overlayKey(name)
	}
	b := theme.Find(m.bindings(), name)
	switch {
	case b == nil:
		m.say(theme.KeyName(name) + " does nothing here; ? shows the keys")
	case b.Off != "":
		m.say("not now: " + b.Off)
	default:
		return m.do(b.Action)
	}
	return nil
}

// overlayKey scrolls or closes what lies over the page.
func (m *Model) overlayKey(name string) tea.Cmd {
	if m.pick != nil {
		if cmd, taken := m.pick(name); taken {
			m.overlay, m.pick = nil, nil
			return cmd
		}
	}
	if b := theme.Find(theme.Moving(), name); b != nil {
		m.overlay.Do(b.Action, m.frame.page.H-2)
		return nil
	}
	if b := theme.Find(theme.Shared(), name); b != nil {
		switch b.Action {
		case theme.Quit:
			return tea.Quit
		case theme.Back, theme.Help:
			m.overlay, m.pick = nil, nil
		}
	}
	return nil
}

// do does what a key means.
func (m *Model) do(a theme.Action) tea.Cmd {
	if key, ok := strings.CutPrefix(string(a), "page "); ok {
		m.switchTo(key)
		return nil
	}
	switch a {
	case theme.Quit:
		return tea.Quit
	case theme.Help:
		m.overlay = m.help()
	case theme.NextTab:
		m.show((m.open + 1) % len(m.pages))
	case theme.PrevTab:
		m.show((m.open + len(m.pages) - 1) % len(m.pages))
	case theme.Filter:
		m.ask("/", m.filters[m.open], m.applyFilter, m.applyFilter)
	case theme.Command:
		m.ask(":", "", m.command, nil)
	case theme.Break:
		m.showFaults()
	case theme.Write:
		m.ask("write to: ", "cvlanctl-"+strings.ToLower(m.current().Name())+".md", m.write, nil)
	case theme.Copy:
		return m.copy()
	case theme.Pause:
		if m.paused = !m.paused; !m.paused {
			m.now = m.options.Now()
			m.resync()
		}
	default:
		return m.outcome(m.current().Do(a), a)
	}
	return nil
}

// outcome does what a page asks for.
func (m *Model) outcome(o page.Outcome, a theme.Action) tea.Cmd {
	if o.Say != "" {
		m.say(o.Say)
	}
	switch {
	case o.Left && a == theme.Back && m.outer != nil && len(m.stack) == 0 && m.filters[m.open] == "":
		return func() tea.Msg { return look{} }
	case o.Left && a == theme.Back:
		m.back()
	case o.Jump != "":
		if !m.jump(o.Jump, o.To) && (o.Else == "" || !m.jump(o.Else, o.To)) {
			m.say("it is not kept any more, or the filter hides it")
		}
	case o.Fetch > 0:
		return m.fetch(o.Fetch)
	case o.Order != nil:
		return m.order(*o.Order)
	case o.Explain != "":
		m.explain(o.Explain)
	case o.Resync:
		m.resync()
	}
	return nil
}

// order has something done, after a question where it may do harm.
func (m *Model) order(o page.Order) tea.Cmd {
	act := m.options.Act
	if act == nil {
		m.fail("this source takes no orders")
		return nil
	}
	obey := func() tea.Cmd {
		m.orders++
		m.say(o.String() + " ...")
		return func() tea.Msg {
			words, err := act(o)
			return obeyed{o, words, err}
		}
	}
	if o.Question == "" {
		return obey()
	}
	m.prompt = &prompt{label: o.Question + " y or n ", yes: obey}
	return nil
}

func (m *Model) fetch(frame int64) tea.Cmd {
	at, read := m.open, m.options.Packet
	if read == nil {
		return func() tea.Msg {
			return fetched{page: at, frame: frame, err: fmt.Errorf("frame %d: this source does not keep its packets", frame)}
		}
	}
	return func() tea.Msg {
		p, err := read(frame)
		if err == nil && p == nil {
			err = fmt.Errorf("frame %d holds no packet of IKE, ESP or AH", frame)
		}
		return fetched{at, frame, p, err}
	}
}

// maxStack bounds the way back.
const maxStack = 64

// jump opens a target on another page, and remembers the way back. It says
// whether the page has it.
func (m *Model) jump(key string, to page.Target) bool {
	from := m.open
	i := slices.IndexFunc(m.pages, func(p page.Page) bool { return p.Key() == key })
	if i < 0 {
		return false
	}
	m.show(i)
	found := m.pages[i].Show(to)
	if !found && m.filters[i] != "" {
		before := m.filters[i]
		m.applyFilter("")
		if found = m.pages[i].Show(to); !found {
			m.applyFilter(before)
		}
	}
	if !found {
		m.show(from)
		return false
	}
	if m.stack = append(m.stack, from); len(m.stack) > maxStack {
		m.stack = m.stack[1:]
	}
	return true
}

// back goes where the last jump came from; where there was none it clears the
// filter. Every page still stands where it was left.
func (m *Model) back() {
	if n := len(m.stack); n > 0 {
		from := m.stack[n-1]
		m.stack = m.stack[:n-1]
		m.show(from)
		return
	}
	if m.filters[m.open] != "" {
		m.applyFilter("")
		m.say("filter cleared")
	}
}

// switchTo opens a page by its key; that is no jump.
func (m *Model) switchTo(key string) {
	for i, p := range m.pages {
		if p.Key() == key {
			m.stack = nil
			m.show(i)
		}
	}
}

func (m *Model) show(i int) {
	m.open = i
	m.sync()
}

// applyFilter limits the open page.
func (m *Model) applyFilter(text string) tea.Cmd {
	m.filters[m.open] = strings.TrimSpace(text)
	m.current().SetFilter(widget.ParseFilter(text))
	m.resync()
	return nil
}

func (m *Model) copy() tea.Cmd {
	what, text, _ := m.current().Selection()
	if text == "" {
		m.say("nothing is selected")
		return nil
	}
	m.say("copied " + what)
	// What is pasted into a shell must not do there what a stranger wants.
	return tea.SetClipboard(clean.Text(text))
}

func (m *Model) wheel(e tea.Mouse) {
	n := 0
	switch e.Button {
	case tea.MouseWheelUp:
		n = -wheelRows
	case tea.MouseWheelDown:
		n = wheelRows
	}
	switch {
	case m.frame.small || n == 0:
	case m.overlay != nil:
		m.overlay.Scroll(n)
	case m.frame.page.Contains(e.X, e.Y):
		m.current().Wheel(e.X-m.frame.page.X, e.Y-m.frame.page.Y, n)
	}
}

func (m *Model) click(e tea.Mouse) tea.Cmd {
	if m.frame.small || e.Button != tea.MouseLeft || m.prompt != nil {
		return nil
	}
	if m.frame.tabs.Contains(e.X, e.Y) {
		if i := m.tabAt(e.X); i >= 0 {
			m.overlay, m.pick, m.stack = nil, nil, nil
			m.show(i)
		}
		return nil
	}
	if m.overlay != nil || !m.frame.page.Contains(e.X, e.Y) {
		return nil
	}
	m.last = ""
	if m.current().Click(e.X-m.frame.page.X, e.Y-m.frame.page.Y) {
		if b := theme.Find(m.current().Keys(), "enter"); b != nil && b.Off == "" {
			return m.do(b.Action)
		}
	}
	return nil
}
