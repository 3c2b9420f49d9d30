package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// proposals gives the proposals of a message's SA payload.
func proposals(m *trace.Message) []wire.Proposal {
	if m == nil {
		return nil
	}
	for i := range m.Payloads {
		if sa, ok := m.Payloads[i].Body.(*wire.SA); ok {
			return sa.Proposals
		}
	}
	return nil
}

func hasProposal(x *trace.Exchange) bool {
	return len(proposals(x.Request)) > 0 || len(proposals(x.Response)) > 0
}

// proposalExchange gives the exchange in which an SA's proposal was made.
func proposalExchange(sa *trace.IKESA) *trace.Exchange {
	if sa == nil {
		return nil
	}
	if sa.Init != nil && hasProposal(sa.Init) {
		return sa.Init
	}
	for _, x := range sa.Exchanges {
		if hasProposal(x) {
			return x
		}
	}
	return nil
}

// comparePane sets the proposals of a request beside the one that the
// response accepted, transform by transform.
func comparePane(x *trace.Exchange) *widget.Pane {
	offered, answer := proposals(x.Request), proposals(x.Response)
	p := &widget.Pane{Title: fmt.Sprintf("Proposals of %s %d", x.Type, x.MessageID)}
	add := func(spans ...theme.Span) { p.Lines = append(p.Lines, theme.L(spans...)) }
	p.Lines = append(p.Lines, verdict(x, offered, answer), theme.L())
	var accepted *wire.Proposal
	if len(answer) > 0 {
		accepted = &answer[0]
	}
	for i := range offered {
		o := &offered[i]
		chosen := accepted != nil && accepted.Number == o.Number
		head := fmt.Sprintf("  Proposal %d  %s", o.Number, o.Protocol)
		if chosen {
			add(theme.S(theme.Title, head), theme.S(theme.Good, "  chosen"))
			compareTransforms(add, o, accepted)
		} else {
			add(theme.S(theme.Title, head))
			compareTransforms(add, o, nil)
		}
		add()
	}
	if accepted != nil && !slices.ContainsFunc(offered, func(o wire.Proposal) bool { return o.Number == accepted.Number }) {
		add(theme.S(theme.Title, fmt.Sprintf("  Proposal %d  %s", accepted.Number, accepted.Protocol)),
			theme.S(theme.Bad, "  answered, but the offer was not seen"))
		compareTransforms(add, &wire.Proposal{}, accepted)
	}
	return p
}

func verdict(x *trace.Exchange, offered, answer []wire.Proposal) theme.Line {
	switch n := x.Response.ErrorNotify(); {
	case n != nil:
		return theme.L(theme.S(theme.Bad, "  refused with "+n.Type.String()), theme.S(theme.Plain, "  "+notifyMeaning(n)))
	case len(answer) > 0 && len(offered) > 0:
		return theme.L(theme.S(theme.Good, fmt.Sprintf("  proposal %d of %d was accepted", answer[0].Number, len(offered))))
	case x.Response == nil:
		return theme.L(theme.S(theme.Warning, "  the offer was not answered"))
	case x.Response.Encrypted && !x.Response.Decrypted:
		return theme.L(theme.S(theme.Muted, "  the answer cannot be read without keys"))
	}
	return theme.L(theme.S(theme.Muted, "  the answer holds no proposal"))
}

const (
	compareType  = 8
	compareValue = 32
)

// compareTransforms draws one proposal: for each type of transform what was
// offered, and what was taken of it.
func compareTransforms(add func(...theme.Span), offered, accepted *wire.Proposal) {
	var types []wire.TransformType
	for _, p := range []*wire.Proposal{offered, accepted} {
		if p == nil {
			continue
		}
		for i := range p.Transforms {
			if t := p.Transforms[i].Type; !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	for _, typ := range types {
		label := typ.String()
		var taken []string
		if accepted != nil {
			taken = transformNames(accepted, typ)
		}
		names := transformNames(offered, typ)
		for _, name := range names {
			cell := theme.S(theme.Plain, pad(name, compareValue))
			answer := theme.Span{}
			if slices.Contains(taken, name) {
				answer = theme.S(theme.Good, "yes  "+name)
			} else if accepted != nil {
				cell.Role = theme.Muted
			}
			add(theme.S(theme.Muted, "    "+pad(label, compareType)), cell, answer)
			label = ""
		}
		for _, name := range taken {
			if !slices.Contains(names, name) {
				add(theme.S(theme.Muted, "    "+pad(label, compareType)), theme.S(theme.Plain, pad("", compareValue)),
					theme.S(theme.Bad, "not offered  "+name))
				label = ""
			}
		}
		if accepted != nil && len(taken) == 0 {
			add(theme.S(theme.Plain, pad("", 4+compareType)), theme.S(theme.Warning, "the answer has none"))
		}
	}
}

func transformNames(p *wire.Proposal, typ wire.TransformType) []string {
	var names []string
	for i := range p.Transforms {
		t := &p.Transforms[i]
		if t.Type != typ {
			continue
		}
		name := t.Name()
		if bits := t.KeyLength(); bits > 0 {
			name += fmt.Sprintf(" %d", bits)
		}
		names = append(names, name)
	}
	return names
}

func pad(s string, n int) string {
	if w := theme.Width(s); w < n {
		return s + strings.Repeat(" ", n-w)
	}
	return s + " "
}
