package theme

import "slices"

// Action names what a key does, for the program.
type Action string

// The actions that every page shares.
const (
	Up       Action = "up"
	Down     Action = "down"
	PageUp   Action = "page-up"
	PageDown Action = "page-down"
	First    Action = "first"
	Last     Action = "last"
	Open     Action = "open"
	Back     Action = "back"
	Next     Action = "next"
	Previous Action = "previous"
	Filter   Action = "filter"
	Copy     Action = "copy"
	Write    Action = "write"
	Command  Action = "command"
	Break    Action = "break"
	Pause    Action = "pause"
	Help     Action = "help"
	NextTab  Action = "next-tab"
	PrevTab  Action = "previous-tab"
	Quit     Action = "quit"
)

// Binding is a key as data: what is pressed, what it does, and why it does
// nothing now. Help and documentation are made from bindings.
type Binding struct {
	Action Action
	Keys   []string // as tea.Key.String gives them; the first is the one shown
	Does   string   // in the imperative, lower case
	Hint   string   // a word for the status line, "" to leave it out there
	Off    string   // why it cannot be used now, "" where it can
}

// keyNames are the keys whose name on the screen differs.
var keyNames = map[string]string{
	"up": "↑", "down": "↓", "left": "←", "right": "→", "pgup": "PgUp", "pgdown": "PgDn", "home": "Home", "end": "End",
	"enter": "Enter", "esc": "Esc", "tab": "Tab", "shift+tab": "Shift-Tab", "ctrl+c": "Ctrl-C", "space": "Space",
}

// KeyName gives the name of a key as it is shown.
func KeyName(key string) string {
	if n, ok := keyNames[key]; ok {
		return n
	}
	return key
}

// Find gives the binding of a key, nil where there is none. Earlier bindings
// win, so a page's own come before the shared ones.
func Find(bindings []Binding, key string) *Binding {
	for i := range bindings {
		if slices.Contains(bindings[i].Keys, key) {
			return &bindings[i]
		}
	}
	return nil
}

// Moving are the keys that move in any list.
func Moving() []Binding {
	return []Binding{
		{Action: Up, Keys: []string{"up", "k"}, Does: "one row up"},
		{Action: Down, Keys: []string{"down", "j"}, Does: "one row down"},
		{Action: PageUp, Keys: []string{"pgup", "ctrl+u"}, Does: "one page up"},
		{Action: PageDown, Keys: []string{"pgdown", "ctrl+d"}, Does: "one page down"},
		{Action: First, Keys: []string{"g", "home"}, Does: "first row"},
		{Action: Last, Keys: []string{"G", "end"}, Does: "last row"},
	}
}

// Commands are what can be typed after ":".
const Commands = "up NAME [keys DIR], down, rekey, dpd NAME, test-peer NAME FILE [--ladder|--listen], fault NAME, explain ID, goto FRAME, quit"

// Shared are the keys that work on every page.
func Shared() []Binding {
	return []Binding{
		{Action: Filter, Keys: []string{"/"}, Does: "show only rows that match", Hint: "filter"},
		{Action: Next, Keys: []string{"n"}, Does: "next row with a problem"},
		{Action: Previous, Keys: []string{"N"}, Does: "previous row with a problem"},
		{Action: Copy, Keys: []string{"y"}, Does: "copy what is selected"},
		{Action: Write, Keys: []string{"w"}, Does: "write what is shown to a file (.json or .md)"},
		{Action: Command, Keys: []string{":"}, Does: "command: " + Commands},
		{Action: Break, Keys: []string{"B"}, Does: "break the demo on purpose, in one way of several"},
		{Action: Pause, Keys: []string{"space"}, Does: "stop the picture, and go on"},
		{Action: NextTab, Keys: []string{"tab"}, Does: "next page"},
		{Action: PrevTab, Keys: []string{"shift+tab"}, Does: "previous page"},
		{Action: Back, Keys: []string{"esc"}, Does: "back, or clear the filter"},
		{Action: Help, Keys: []string{"?"}, Does: "this help"},
		{Action: Quit, Keys: []string{"q", "ctrl+c"}, Does: "quit"},
	}
}
