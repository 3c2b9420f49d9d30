package trace

import (
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// selectors gives the text of a TS payload's selectors, as swanctl writes
// them.
func selectors(m *Message, t wire.PayloadType) []string {
	p := wire.First(m.Payloads, t)
	if p == nil {
		return nil
	}
	ts, ok := p.Body.(*wire.TS)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(ts.Selectors))
	for i := range ts.Selectors {
		out = append(out, SelectorText(&ts.Selectors[i]))
	}
	return out
}

// SelectorText writes a traffic selector as swanctl does, see
// event.SelectorText.
func SelectorText(s *wire.TrafficSelector) string { return event.SelectorText(s) }
