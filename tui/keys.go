package tui

import (
	"strings"

	"github.com/cloudvlan/cvlanctl/tui/page"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// pages makes the pages in the order of the tab bar.
func pages() []page.Page {
	return []page.Page{page.NewTunnels(), page.NewExchanges(), page.NewNAT(), page.NewTimers(), page.NewDiagnoses(), page.NewPackets(), page.NewLog()}
}

// Keys are all keys of the screen, a group for each page and those that work
// everywhere.
func Keys() []widget.HelpGroup {
	var groups []widget.HelpGroup
	for _, p := range pages() {
		b := p.Keys()
		for i := range b {
			b[i].Off = "" // there is no data to use them on here
		}
		groups = append(groups, widget.HelpGroup{Title: p.Key() + " " + p.Name(), Bindings: b})
	}
	return append(groups,
		widget.HelpGroup{Title: "An open message or packet", Bindings: page.MessageKeys()},
		widget.HelpGroup{Title: "Everywhere", Bindings: theme.Shared()},
		widget.HelpGroup{Title: "Moving", Bindings: theme.Moving()},
	)
}

// KeysMarkdown gives the reference of all keys as a Markdown document.
func KeysMarkdown() string {
	var b strings.Builder
	b.WriteString("# Keys of the screen\n\nMade from the program's own table of keys. `?` shows the keys of the open page, and why a key\n" +
		"cannot be used now. The number of a page opens it. Mouse: the wheel scrolls, a click selects, a second click opens.\n")
	for _, g := range Keys() {
		b.WriteString("\n## " + g.Title + "\n\n| key | what it does |\n|---|---|\n")
		for _, k := range g.Bindings {
			for i, key := range k.Keys {
				if i > 0 {
					b.WriteString(" ")
				} else {
					b.WriteString("| ")
				}
				b.WriteString("`" + strings.ReplaceAll(theme.KeyName(key), "|", `\|`) + "`")
			}
			b.WriteString(" | " + k.Does + " |\n")
		}
	}
	return b.String()
}
