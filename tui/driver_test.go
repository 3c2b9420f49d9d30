package tui_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
)

var update = flag.Bool("update", false, "write the golden files anew")

// driver plays a person at the screen: keys go in, a screen comes out, and
// what the model wants done in the background is done at once.
type driver struct {
	t       *testing.T
	model   *tui.Model
	quit    bool
	copied  []string
	written map[string]string
}

// catalogue is a small stand-in for the real one.
func catalogue(id string) (diag.Entry, bool) {
	if id != "no-proposal-ike" {
		return diag.Entry{}, false
	}
	return diag.Entry{
		ID: id, Title: "no common IKE proposal", Symptom: "The tunnel never comes up.", Cause: "The peers share no proposal.",
		Shows:    []diag.Shows{{Source: "capture", What: "NO_PROPOSAL_CHOSEN in the IKE_SA_INIT response"}},
		Remedies: []diag.Remedy{{Side: "responder", Platform: "strongswan", Change: "connections.<conn>.proposals = default"}},
		RFC:      []string{"RFC 7296 2.7"}, Related: []string{"no-proposal-child-initial"},
	}, true
}

func drive(t *testing.T, d feed.Data, width, height int, change ...func(*tui.Options)) *driver {
	t.Helper()
	dr := &driver{t: t, written: map[string]string{}}
	o := tui.Options{
		Data: d, Explain: catalogue, Host: "gw1", Now: func() time.Time { return at(65 * time.Second) }, Theme: theme.Options{Colour: true},
		Write: func(name string, data []byte) error {
			if _, ok := dr.written[name]; ok {
				return &os.PathError{Op: "open", Path: name, Err: os.ErrExist}
			}
			dr.written[name] = string(data)
			return nil
		},
	}
	for _, c := range change {
		c(&o)
	}
	dr.model = tui.New(o)
	dr.model.Init() // its command is the pulse, which tests send themselves
	dr.send(tea.WindowSizeMsg{Width: width, Height: height})
	return dr
}

// withPacket makes the source give this packet for every frame.
func withPacket(f func(int64) (*event.Packet, error)) func(*tui.Options) {
	return func(o *tui.Options) { o.Packet = f }
}

func (d *driver) send(msg tea.Msg) {
	d.t.Helper()
	_, cmd := d.model.Update(msg)
	if cmd == nil || tui.IsTick(msg) { // what follows a pulse is the next pulse
		return
	}
	switch result := cmd().(type) {
	case nil:
	case tea.QuitMsg:
		d.quit = true
	default:
		if s, ok := clipboard(result); ok {
			d.copied = append(d.copied, s)
			return
		}
		d.send(result)
	}
}

// clipboard gives the text of bubbletea's own clipboard message, of a type
// that it does not export.
func clipboard(msg tea.Msg) (string, bool) {
	if reflect.TypeOf(msg) == reflect.TypeOf(tea.SetClipboard("")()) {
		return reflect.ValueOf(msg).String(), true
	}
	return "", false
}

var special = map[string]tea.Key{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown},
	"left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight}, "pgup": {Code: tea.KeyPgUp}, "pgdown": {Code: tea.KeyPgDown},
	"tab": {Code: tea.KeyTab}, "shift+tab": {Code: tea.KeyTab, Mod: tea.ModShift}, "backspace": {Code: tea.KeyBackspace},
	"space": {Code: tea.KeySpace, Text: " "}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl},
	"ctrl+w": {Code: 'w', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl},
}

// press presses keys by name; what is no name is typed rune by rune.
func (d *driver) press(keys ...string) *driver {
	d.t.Helper()
	for _, k := range keys {
		if key, ok := special[k]; ok {
			d.send(tea.KeyPressMsg(key))
			continue
		}
		for _, r := range k {
			if r == ' ' {
				d.send(tea.KeyPressMsg(special["space"]))
				continue
			}
			d.send(tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
	return d
}

// styled gives the screen as it goes to the terminal, plain as it is read.
func (d *driver) styled() string { return d.model.View().Content }

func (d *driver) plain() string { return ansi.Strip(d.styled()) }

// rows gives the lines of the screen without the spaces at their ends.
func (d *driver) rows() []string {
	rows := strings.Split(d.plain(), "\n")
	for i := range rows {
		rows[i] = strings.TrimRight(rows[i], " ")
	}
	return rows
}

func (d *driver) text() string { return strings.Join(d.rows(), "\n") + "\n" }

// has fails the test where a text is not on the screen.
func (d *driver) has(texts ...string) *driver {
	d.t.Helper()
	for _, text := range texts {
		if !strings.Contains(d.text(), text) {
			d.t.Errorf("the screen does not have %q:\n%s", text, d.text())
		}
	}
	return d
}

func (d *driver) hasNot(texts ...string) *driver {
	d.t.Helper()
	for _, text := range texts {
		if strings.Contains(d.text(), text) {
			d.t.Errorf("the screen has %q:\n%s", text, d.text())
		}
	}
	return d
}

// golden compares a text with testdata/golden/NAME.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}
