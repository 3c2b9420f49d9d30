package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
)

// terminal is a pseudo-terminal and what has been written to it.
type terminal struct {
	outside, inside *os.File
	mu              sync.Mutex
	text            strings.Builder
	done            chan struct{}
}

// newTerminal opens a terminal of a size.
func newTerminal(t *testing.T, columns, rows uint16) *terminal {
	t.Helper()
	outside, inside, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(outside, &pty.Winsize{Cols: columns, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{outside: outside, inside: inside, done: make(chan struct{})}
	go func() {
		defer close(term.done)
		buffer := make([]byte, 32<<10)
		for {
			n, err := outside.Read(buffer)
			term.mu.Lock()
			term.text.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil { // the inside was closed
				return
			}
		}
	}()
	return term
}

// mark gives how much has been written so far.
func (x *terminal) mark() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.Len()
}

// until waits for a text to be written after a mark.
func (x *terminal) until(t *testing.T, mark int, text string) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < time.Minute {
		x.mu.Lock()
		got := x.text.String()[mark:]
		x.mu.Unlock()
		if strings.Contains(got, text) {
			return time.Since(began)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%q is not written to the terminal", text)
	return 0
}

func (x *terminal) keys(t *testing.T, keys string) {
	t.Helper()
	if _, err := x.outside.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// TestTheScreenOnARealTerminal runs `cvlanctl tui` on a terminal of 80 by 24
// beside a real daemon, which is killed and started again, and leaves the
// terminal as it was.
func TestTheScreenOnARealTerminal(t *testing.T) {
	r := peers(t)
	x := newTerminal(t, 80, 24)
	before, err := pty.GetsizeFull(x.outside)
	if err != nil {
		t.Fatal(err)
	}
	screen, _, _ := term.Test("", map[string]string{"TERM": "xterm-256color", "LANG": "C.UTF-8"})
	screen.In, screen.Out = x.inside, x.inside
	screen.InTTY, screen.OutTTY, screen.Colour, screen.Width = true, true, true, int(before.Cols)
	code := make(chan int, 1)
	go func() { code <- NewApp(screen).run(context.Background(), []string{"tui", "--source", r.source()}) }()
	// Where only a part of a line changes, no more than that is written.
	x.until(t, 0, "5.9.8")
	x.until(t, 0, "live")
	x.until(t, 0, "192.0.2.2")
	mark := x.mark()
	if err := r.A.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("said after %s", x.until(t, mark, "AWAY"))
	mark = x.mark()
	if err := r.A.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.load(t, nil)
	t.Logf("live again after %s", x.until(t, mark, "live"))
	mark = x.mark()
	x.keys(t, "7")
	x.until(t, mark, "following the daemon")
	x.keys(t, "q")
	select {
	case got := <-code:
		if got != exitFine {
			t.Errorf("exit code %d", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("q does not end it")
	}
	x.until(t, mark, "\x1b[?1049l") // the usual screen again
	if err := errors.Join(x.inside.Close(), hangUp(x.outside)); err != nil {
		t.Error(err)
	}
	<-x.done
}

// TestTheScreenSaysThatADaemonHangs stops a real daemon, which then neither
// answers nor hangs up.
func TestTheScreenSaysThatADaemonHangs(t *testing.T) {
	r := peers(t)
	pid, err := r.A.PID()
	if err != nil {
		t.Fatal(err)
	}
	w := watchTest(t, viciClient(t, r.A.Socket()), 120, 40)
	w.until(t, "5.9.8 live", "gw")
	goOn := func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(goOn)
	w.until(t, "NO ANSWER for", "all of the past")
	goOn()
	w.until(t, "5.9.8 live")
}

// hangUp closes the outside of a terminal.
func hangUp(f *os.File) error {
	err := f.Close()
	if errors.Is(err, syscall.EIO) {
		return nil
	}
	return err
}
