package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/tui/page"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// noFaults is why nothing can be broken.
const noFaults = "only the demo is there to be broken"

// fault makes something wrong on purpose, or with "none" mends all. Without a name it shows what there is.
func (m *Model) fault(name string) tea.Cmd {
	list := m.options.Faults
	switch i := slices.IndexFunc(list, func(f Fault) bool { return f.ID == name }); {
	case len(list) == 0:
		m.fail(noFaults)
	case name == "":
		m.showFaults()
	case name == "none":
		return m.order(page.Order{Verb: "fault"})
	case i >= 0:
		return m.order(page.Order{Verb: "fault", Fault: name})
	default:
		m.fail(name + " is no fault of the demo; :fault lists them")
	}
	return nil
}

// faultKeys are pressed for the faults, in their order; noFaultKey mends all.
const (
	faultKeys  = "abcdefghijklmnopqrstuvwxyz"
	noFaultKey = "0"
)

// showFaults lists what can be broken, and takes one by its key.
func (m *Model) showFaults() {
	list := m.options.Faults[:min(len(m.options.Faults), len(faultKeys))]
	p := &widget.Pane{Title: "What to make wrong: a key, or :fault NAME"}
	row := func(key, id, what string) {
		p.Lines = append(p.Lines, widget.Labelled(fmt.Sprintf("  %s  %s", key, id), 32, theme.S(theme.Muted, what), m.width)...)
	}
	row(noFaultKey, "none", "all is mended")
	for i, f := range list {
		row(faultKeys[i:i+1], f.ID, f.What)
	}
	m.overlay = p
	m.pick = func(key string) (tea.Cmd, bool) {
		if key == noFaultKey {
			return m.fault("none"), true
		}
		if i := strings.Index(faultKeys, key); len(key) == 1 && i >= 0 && i < len(list) {
			return m.fault(list[i].ID), true
		}
		return nil, false
	}
}
