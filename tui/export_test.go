package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"
)

// Tick makes the message of one pulse.
func Tick(t time.Time) tea.Msg { return tick(t) }

// Layout divides a screen, for tests.
var Layout = func(w, h int) (areas [4][4]int, small bool) {
	f := layout(w, h)
	for i, r := range []struct{ X, Y, W, H int }{
		{f.title.X, f.title.Y, f.title.W, f.title.H}, {f.tabs.X, f.tabs.Y, f.tabs.W, f.tabs.H},
		{f.page.X, f.page.Y, f.page.W, f.page.H}, {f.status.X, f.status.Y, f.status.W, f.status.H},
	} {
		areas[i] = [4]int{r.X, r.Y, r.W, r.H}
	}
	return areas, f.small
}

// IsTick says whether a message is a pulse.
func IsTick(msg tea.Msg) bool {
	_, ok := msg.(tick)
	return ok
}
