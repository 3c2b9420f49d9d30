package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
)

func TestTheDemosEventsMeetTheirSchema(t *testing.T) {
	item := schema(t, "events", "event")
	for line := range bytes.Lines(succeed(t, "demo", "--headless", "--duration", "2s", "--fault", "ts-unacceptable", "-o", "jsonl")) {
		if err := validate(item, line); err != nil {
			t.Errorf("%v\n%s", err, line)
		}
	}
	if err := validate(schema(t, "events", ""), succeed(t, "demo", "--headless", "--duration", "2s", "-o", "json")); err != nil {
		t.Error(err)
	}
}

func TestTheDemoWithoutATerminalEndsByItself(t *testing.T) {
	for _, row := range []struct {
		name     string
		o        DemoOptions
		tty      bool
		headless bool
		length   time.Duration
	}{
		{"a terminal", DemoOptions{}, true, false, 0},
		{"none", DemoOptions{}, false, true, demoLength},
		{"none, with a length", DemoOptions{Duration: time.Minute}, false, true, time.Minute},
		{"headless on a terminal", DemoOptions{Headless: true}, true, true, 0},
		{"headless", DemoOptions{Headless: true}, false, true, 0},
	} {
		screen, _, _ := term.Test("", nil)
		screen.InTTY, screen.OutTTY = row.tty, row.tty
		_, headless, err := row.o.options(NewApp(screen))
		if err != nil || headless != row.headless || row.o.Duration != row.length {
			t.Errorf("%s: headless %t, for %s, %v", row.name, headless, row.o.Duration, err)
		}
	}
}

// TestTheDemoIsEndedByAnInterrupt proves that the engines say farewell: the
// command ends long before their timers would.
func TestTheDemoIsEndedByAnInterrupt(t *testing.T) {
	code, out, errs := onScreen(t, false, func(s string) bool { return strings.Contains(s, "CHILD SA up") }, "demo", "--headless")
	if code != exitInterrupted || !strings.Contains(errs, "interrupted") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

func TestNothingHereSaysWhereItLookedAndOffersTheDemo(t *testing.T) {
	screen, out, _ := term.Test("", nil)
	app := NewApp(screen)
	if err := app.nothingHere(app.usualAddrs()); err != nil {
		t.Fatal(err)
	}
	for _, want := range append(usualSockets(), app.engineSocket(), "cvlanctl demo") {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not named:\n%s", want, out)
		}
	}
}
