package cli

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/tui"
)

// liveScreen is a live screen without a terminal: a test is its pulse.
type liveScreen struct {
	model *tui.Model
	pulse tea.Cmd
	stop  func()
}

// watchTest shows a daemon on a screen of a size.
func watchTest(t testing.TB, b backend.Backend, width, height int) *liveScreen {
	t.Helper()
	screen, _, _ := term.Test("", nil)
	ctx, cancel := context.WithCancel(context.Background())
	options, wait := watch(ctx, NewApp(screen), daemonOnScreen{Backend: b})
	w := &liveScreen{model: tui.New(options), stop: func() { cancel(); wait() }}
	t.Cleanup(w.stop)
	w.pulse = w.model.Init()
	w.model.Update(tea.WindowSizeMsg{Width: width, Height: height})
	return w
}

// frame waits for the next pulse, and draws.
func (w *liveScreen) frame() string {
	_, next := w.model.Update(w.pulse())
	w.pulse = next
	return ansi.Strip(w.model.View().Content)
}

// press presses a key and does at once what that asks for.
func (w *liveScreen) press(key rune) { w.key(tea.KeyPressMsg{Code: key, Text: string(key)}) }

// command types a command and answers what it asks with yes.
func (w *liveScreen) command(line string) {
	w.press(':')
	for _, r := range line {
		w.press(r)
	}
	w.key(tea.KeyPressMsg{Code: tea.KeyEnter})
	w.press('y')
}

func (w *liveScreen) key(k tea.KeyPressMsg) {
	if _, cmd := w.model.Update(k); cmd != nil {
		if msg := cmd(); msg != nil {
			w.model.Update(msg)
		}
	}
}

// until draws frames until the screen has all texts, and says how long that
// took.
func (w *liveScreen) until(t testing.TB, texts ...string) time.Duration {
	t.Helper()
	began, last := time.Now(), ""
	for time.Since(began) < time.Minute {
		last = w.frame()
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(last, text) }) {
			return time.Since(began)
		}
	}
	t.Fatalf("the screen does not come to have %q:\n%s", texts, last)
	return 0
}

// shows says whether the screen comes to have a text.
func (w *liveScreen) shows(within time.Duration, text string) bool {
	for began := time.Now(); time.Since(began) < within; {
		if strings.Contains(w.frame(), text) {
			return true
		}
	}
	return false
}

// viciClient reaches a daemon of a test.
func viciClient(t testing.TB, path string) *vici.Client {
	t.Helper()
	c := vici.New(vici.Addr{Network: "unix", Address: path})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestTheScreenDrivesARealTunnel brings a tunnel of two real daemons up by a
// key, watches it, rekeys it and takes it down.
func TestTheScreenDrivesARealTunnel(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "down", "gw")
	w := watchTest(t, viciClient(t, r.A.Socket()), 160, 40)
	w.until(t, "charon-systemd 5.9.8 live", "gw", "net", "spare", "down")
	w.press('j') // the child net
	w.press('u')
	w.until(t, "up gw/net: it is up", "ESTABLISHED", "INSTALLED")
	if err := r.PingThrough(t.Context(), 3); err != nil {
		t.Error(err)
	}
	w.until(t, "252") // octets, in and out
	w.press('4')
	w.until(t, "rekey", "SA replaced")
	w.press('2')
	w.until(t, "IKE_SA_INIT 0", "IKE_AUTH 1")
	w.press('7')
	w.until(t, "CHILD_SA net")
	w.press('1')
	w.press('g')
	w.press('D')
	w.until(t, "take down connection gw")
	w.press('y')
	w.until(t, "down gw: it is down")
}

// TestTheScreenWritesTheKeysOfWhatItBringsUp has a real daemon tell the keys of
// one tunnel, and nothing of them appear on the screen.
func TestTheScreenWritesTheKeysOfWhatItBringsUp(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "down", "gw")
	var dir string
	var w *liveScreen
	for range 4 {
		dir = t.TempDir()
		w = watchTest(t, viciClient(t, r.A.Socket()), 250, 40)
		w.until(t, "5.9.8 live", "gw")
		w.command("up gw/net keys " + dir)
		if w.shows(20*time.Second, "keys of 3 SAs in "+dir) || !r.hung(t) {
			break
		}
	}
	w.until(t, "keys of 3 SAs in "+dir)
	tables, err := keylog.Load([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if v2, _, esp := tables.Len(); v2 != 1 || esp != 2 {
		t.Errorf("keys of %d IKE and %d ESP SAs, want 1 and 2", v2, esp)
	}
	w.press('7')
	if shown := w.frame(); strings.Contains(shown, "Sk_") || strings.Contains(shown, "SKEYSEED") {
		t.Errorf("keys are on the screen:\n%s", shown)
	}
}

// TestTheScreenMissesAKilledDaemonAndFollowsItAgain kills a charon under the
// screen.
func TestTheScreenMissesAKilledDaemonAndFollowsItAgain(t *testing.T) {
	r := peers(t)
	before := runtime.NumGoroutine()
	c := vici.New(vici.Addr{Network: "unix", Address: r.A.Socket()})
	w := watchTest(t, c, 120, 40)
	w.until(t, "5.9.8 live", "gw")
	if err := r.A.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("missed after %s", w.until(t, "AWAY", "all of the past"))
	w.press('D')
	w.until(t, "the daemon is away")
	if err := r.A.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.load(t, nil)
	t.Logf("followed again after %s", w.until(t, "5.9.8 live", "gw"))
	w.press('7')
	w.until(t, "the daemon is back")
	w.stop()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for began := time.Now(); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			buffer := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buffer[:runtime.Stack(buffer, true)])
		}
	}
}
