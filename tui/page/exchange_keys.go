package page

import (
	"cmp"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Keys are the page's own keys.
func (p *Exchanges) Keys() []theme.Binding {
	if p.message != nil && p.compare == nil {
		return append(p.message.Keys(), p.rowKeys()[1:]...)
	}
	return p.rowKeys()
}

// rowKeys are the keys about the selected row, the one that opens it first.
func (p *Exchanges) rowKeys() []theme.Binding {
	r, ok := p.selected()
	noMessage, noSA, noScope := "", "", ""
	if !ok || r.message == nil {
		noMessage = "the row is no message"
	}
	if !ok {
		noSA = "there is no exchange"
	}
	if p.scope == nil {
		noScope = "all are shown"
	}
	open := theme.Binding{Action: theme.Open, Keys: []string{"enter"}, Does: "the message: payloads beside their octets", Hint: "open", Off: noMessage}
	if ok && r.toldOnly() {
		open.Does, open.Hint = "what the log says of the message", "log"
	}
	return []theme.Binding{
		open,
		{Action: "compare", Keys: []string{"d"}, Does: "what was offered against what was accepted", Hint: "compare proposals", Off: p.noProposal()},
		{Action: "packet", Keys: []string{"p"}, Does: "the packet on the Packets page", Off: cmp.Or(noMessage, p.noFrame(r))},
		{Action: "log", Keys: []string{"l"}, Does: "the log at this time", Off: p.noLog()},
		{Action: "scope", Keys: []string{"s"}, Does: "only this IKE SA", Hint: "this SA", Off: noSA},
		{Action: "all", Keys: []string{"a"}, Does: "all IKE SAs again", Off: noScope},
		{Action: "clock", Keys: []string{"t"}, Does: "times of day, or seconds since the start"},
	}
}

func (p *Exchanges) noFrame(r rung) string {
	if r.frame == 0 {
		return "a daemon does not show its packets"
	}
	return ""
}

func (p *Exchanges) noLog() string {
	switch {
	case !p.daemon:
		return "a capture has no log"
	case len(p.rows) == 0:
		return "there is no exchange"
	}
	return ""
}

func (p *Exchanges) noProposal() string {
	r, ok := p.selected()
	switch {
	case !ok:
		return "there is no exchange"
	case r.exchange == nil && proposalExchange(r.sa) == nil:
		return "no proposal of this SA can be read"
	case r.exchange != nil && !hasProposal(r.exchange):
		return "the exchange has no proposal that can be read"
	}
	return ""
}

// Do does what a key means.
func (p *Exchanges) Do(a theme.Action) Outcome {
	if p.compare != nil {
		if a == theme.Back || a == "compare" {
			p.compare = nil
		} else {
			p.compare.Do(a, p.height)
		}
		return Outcome{}
	}
	r, ok := p.selected()
	switch a {
	case "compare":
		x := r.exchange
		if x == nil {
			x = proposalExchange(r.sa)
		}
		p.compare = comparePane(x)
		return Outcome{}
	case "packet":
		return Outcome{Jump: "6", To: Target{Frame: r.frame}}
	case "log":
		return Outcome{Jump: "7", To: Target{Time: r.time}}
	case "clock":
		p.clock = !p.clock
		return Outcome{}
	case "scope":
		if ok {
			p.scope = r.sa
		}
		return Outcome{Resync: true}
	case "all":
		p.scope = nil
		return Outcome{Resync: true, Say: "all IKE SAs"}
	}
	if p.message != nil {
		if a == theme.Back {
			p.message = nil
			return Outcome{}
		}
		return Outcome{Say: p.message.Do(a)}
	}
	switch a {
	case theme.Open:
		return p.open()
	case theme.Back:
		if p.scope != nil {
			p.scope = nil
			return Outcome{Resync: true, Say: "all IKE SAs"}
		}
		return Outcome{Left: true}
	case theme.Next, theme.Previous:
		if !p.list.Seek(a == theme.Previous, func(i int) bool {
			role := rungNote(p.rows[i]).Role
			return p.rows[i].kind != rungMeaning && (role == theme.Bad || role == theme.Warning)
		}) {
			return Outcome{Say: "no message has a problem"}
		}
	default:
		p.list.Do(a, p.height)
	}
	return Outcome{}
}

// open opens the selected message; where its octets were not kept, it asks
// for them.
func (p *Exchanges) open() Outcome {
	r, ok := p.selected()
	if !ok || r.message == nil {
		return Outcome{}
	}
	if r.toldOnly() {
		return Outcome{Jump: "7", To: Target{Time: r.time}}
	}
	p.message = newMessageView(r.label()+"   "+endpoint(r.message.Src)+" to "+endpoint(r.message.Dst), r.frame)
	if len(r.message.Octets) == 0 {
		p.message.wait()
		return Outcome{Fetch: r.frame}
	}
	p.message.setMessage(r.message) // a repetition has the same octets
	return Outcome{}
}

// Click selects a row, or something in the open message.
func (p *Exchanges) Click(x, y int) bool {
	if p.compare != nil {
		return false
	}
	if p.message != nil {
		p.message.Click(x, y)
		return false
	}
	row := p.list.Top + y - 1
	if y < 1 || row >= p.list.Len {
		return false
	}
	again := p.list.At == row
	p.list.Select(row)
	return again
}

// Wheel scrolls.
func (p *Exchanges) Wheel(x, y, n int) {
	switch {
	case p.compare != nil:
		p.compare.Scroll(n)
	case p.message != nil:
		p.message.Wheel(x, y, n)
	default:
		p.list.Move(n)
	}
}
