// Package page has the pages of the screen. A page is a plain struct: it is
// given the data, keys and a rectangle, and gives lines. It keeps what the
// user did (selection, what is open) and rows that it made from the data.
//
// Contract: every method is called while the data is held, on one goroutine.
// A page opens nothing, asks no clock and never waits; what takes time it asks
// for in an Outcome.
package page

import (
	"cmp"
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// Page is one page of the screen.
type Page interface {
	// Key is the page's number as it is pressed, Name its word in the tab bar.
	Key() string
	Name() string
	// Sync makes the rows anew after the data or the filter has changed.
	Sync(d feed.Data, now time.Time)
	SetFilter(f widget.Filter)
	// View draws the page into r: at most r.H lines.
	View(t *theme.Theme, r widget.Rect) []theme.Line
	// Keys are the page's own keys, as they are now.
	Keys() []theme.Binding
	// Do does what a key or a click means.
	Do(a theme.Action) Outcome
	// Click selects what is drawn at a cell of the last View's rectangle,
	// and says whether it was selected before.
	Click(x, y int) (again bool)
	// Wheel scrolls by n rows what lies under a cell.
	Wheel(x, y, n int)
	// Show selects a target and opens it; it says whether it is there.
	Show(t Target) bool
	Status() Status
	// Selection gives what is selected: for the clipboard, what it is and its
	// text; and where another page would show it.
	Selection() (what, text string, at Target)
	// Sheet gives what is shown, for a file.
	Sheet() widget.Sheet
}

// Decoder is a page that shows single packets.
type Decoder interface {
	// Decoded hands over a packet that the page asked for.
	Decoded(frame int64, p *event.Packet, err error)
}

// Worker is a page that cannot always do all its work in one Sync.
type Worker interface {
	// Working says that another Sync is needed although no data has changed.
	Working() bool
}

// Target is a thing that pages can show.
type Target struct {
	SA         *trace.IKESA
	Frame      int64
	Finding    string    // id
	Connection string    // of a daemon
	Time       time.Time // in the log
	MessageID  uint32    // of an exchange of SA, where Message
	Message    bool
	Half       Half // of the exchange, where Message
}

// Half is one message of an exchange, or either.
type Half uint8

// The halves.
const (
	Either Half = iota
	Request
	Response
)

// Outcome is what a page asks of the program.
type Outcome struct {
	Jump    string // key of the page to go to, with To
	Else    string // key of the page to go to where the first does not have it
	To      Target
	Fetch   int64  // frame whose packet is wanted
	Explain string // id of the finding to explain
	Say     string // for the status line
	Resync  bool   // the page is limited to other rows now
	Left    bool   // Back had nothing to close
	Order   *Order // to be given to the daemon
}

// Order is something that the daemon is to do.
type Order struct {
	Verb       string // up, down, rekey, dpd, fault
	Fault      string // fault: which, "" for none
	Connection string
	Child      string // "" for the connection itself
	KeyDir     string // up: where key tables of the new SAs go, "" for nowhere
	IKEID      uint32 // the unique id where one SA is meant, else 0
	ChildID    uint32
	// Question is asked before it is done, "" where it harms nothing.
	Question string
}

// String says what is to be done to what.
func (o *Order) String() string {
	if o.Verb == "fault" {
		return "fault " + cmp.Or(o.Fault, "none")
	}
	s := o.Verb + " " + o.Connection
	if o.Child != "" {
		s += "/" + o.Child
	}
	switch {
	case o.ChildID != 0:
		s += fmt.Sprintf(" {%d}", o.ChildID)
	case o.IKEID != 0:
		s += fmt.Sprintf(" [%d]", o.IKEID)
	}
	return s
}

// Status is what the status line says about a page.
type Status struct {
	At, Shown, Total int // the selected row, from 1
	Unit             string
	Scope            string // what the page is limited to, "" for nothing
	Dropped          int64  // rows that are no longer kept
}
