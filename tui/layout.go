package tui

import "github.com/cloudvlan/cvlanctl/tui/widget"

// The smallest screen that the pages are made for, in cells.
const (
	MinWidth  = 80
	MinHeight = 24
)

// frame is the parts of the screen.
type frame struct {
	title, tabs, page, status widget.Rect
	small                     bool // the screen is too small for any of it
}

// layout divides a screen of width by height cells.
func layout(width, height int) frame {
	if width < MinWidth || height < MinHeight {
		return frame{small: true}
	}
	all := widget.Rect{W: width, H: height}
	title, rest := all.Below(1)
	tabs, rest := rest.Below(1)
	page, status := rest.Below(rest.H - 1)
	return frame{title: title, tabs: tabs, page: page, status: status}
}
