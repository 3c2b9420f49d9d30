package cli

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// TestWatchRedrawsInPlaceOnATerminal proves that a page is put over the last
// one without clearing the screen between.
func TestWatchRedrawsInPlaceOnATerminal(t *testing.T) {
	f := office(t, nil)
	enough := func(s string) bool { return strings.Count(s, "\x1b[H") >= 3 }
	code, out, _ := onScreen(t, true, enough, "ipsec", "list-sas", "--watch", "--interval", "100ms", "--source", f.source)
	if code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(out, "\x1b[2J"); n != 1 {
		t.Errorf("the screen is cleared %d times", n)
	}
	if !strings.HasSuffix(out, "\x1b[?25h") {
		t.Error("the cursor stays hidden")
	}
	pages := strings.Split(out, "\x1b[H")[1:]
	for _, page := range pages {
		if !strings.Contains(page, "branch[1]") || !strings.HasSuffix(strings.TrimSuffix(page, "\x1b[?25h"), "\x1b[J") {
			t.Errorf("a page is not whole: %q", page)
		}
	}
}

func TestWatchAppendsWhereThereIsNoTerminal(t *testing.T) {
	f := office(t, nil)
	enough := func(s string) bool { return strings.Count(s, "NAME ") >= 2 }
	code, out, _ := onScreen(t, false, enough, "ipsec", "list-sas", "--watch", "--interval", "100ms", "--source", f.source)
	if code != exitInterrupted || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d, %q", code, out)
	}
	code, out, _ = onScreen(t, false, func(s string) bool { return strings.Count(s, "\n") >= 4 },
		"ipsec", "list-sas", "--watch", "--interval", "100ms", "-o", "jsonl", "--source", f.source)
	if code != exitInterrupted {
		t.Errorf("-o jsonl: exit code %d", code)
	}
	holds(t, "sas", "ike_sa", "jsonl", out)
	if code, _, errs := f.run(t, "list-sas", "--watch", "-o", "json"); code != exitUsage || !strings.Contains(errs, "jsonl") {
		t.Errorf("-o json: exit code %d, %q", code, errs)
	}
	if code, _, _ := f.run(t, "list-sas", "--watch", "--interval", "1ms"); code != exitUsage {
		t.Errorf("an interval of a millisecond: exit code %d", code)
	}
}

// TestWatchShowsNoOldTableWhenTheDaemonIsAway proves that a daemon that went
// away is said and its last table not shown.
func TestWatchShowsNoOldTableWhenTheDaemonIsAway(t *testing.T) {
	f := office(t, nil)
	enough := func(s string) bool {
		if strings.Contains(s, "voice") {
			_ = f.Close() // the daemon dies; closing it again says so
		}
		return strings.Contains(s, "the daemon is away")
	}
	code, out, _ := onScreen(t, true, enough, "ipsec", "status", "--watch", "--interval", "100ms", "--source", f.source)
	pages := strings.Split(out, "\x1b[H")
	last := pages[len(pages)-1]
	if code != exitInterrupted || !strings.Contains(last, "away") || strings.Contains(last, "branch") {
		t.Errorf("exit code %d, last page %q", code, last)
	}
}

// TestMonitorFollowsTheDaemonThroughALoss proves that events, the loss of the
// daemon and its return are told in order, as text and as JSON.
func TestMonitorFollowsTheDaemonThroughALoss(t *testing.T) {
	for _, c := range []struct {
		output string
		steps  []string // what is waited for, one after the other
	}{
		{"table", []string{"following the daemon", "CHILD SA down    branch[1]  lan{4} c0000001 / d0000001", "the daemon is away", "the daemon is back with 2 IKE SAs"}},
		{"jsonl", []string{`"kind":"connected"`, `"kind":"child-down"`, `"kind":"away"`, `"kind":"connected"`}},
	} {
		t.Run(c.output, func(t *testing.T) {
			f := office(t, nil)
			leaves := nothingBehind(t)
			step, from := 0, 0
			enough := func(s string) bool {
				for step < len(c.steps) && strings.Contains(s[from:], c.steps[step]) {
					from += strings.Index(s[from:], c.steps[step]) + len(c.steps[step])
					step++
					switch step {
					case 1:
						go f.Raise("child-updown", branchSA())
					case 2:
						go f.Drop()
					}
				}
				return step == len(c.steps)
			}
			code, out, errs := onScreen(t, false, enough, "ipsec", "monitor", "-o", c.output, "--duration", "2m", "--source", f.source)
			if code != exitInterrupted || step != len(c.steps) {
				t.Errorf("exit code %d after step %d: %s%s", code, step, out, errs)
			}
			leaves()
			if c.output == "jsonl" {
				holds(t, "events", "event", "jsonl", out)
			}
		})
	}
}

func TestLogPicksLevelAndConnection(t *testing.T) {
	f := office(t, nil)
	enough := func(s string) bool {
		if strings.Contains(s, "following") && !strings.Contains(s, "branch[1]") {
			go func() {
				f.Raise("log", v("group", "IKE"), v("level", "1"), v("ikesa-name", "branch"), v("ikesa-uniqueid", "1"), v("msg", "too detailed"))
				f.Raise("log", v("group", "IKE"), v("level", "0"), v("ikesa-name", "other"), v("ikesa-uniqueid", "2"), v("msg", "of another"))
				f.Raise("log", v("group", "NET"), v("level", "0"), v("ikesa-name", "branch"), v("ikesa-uniqueid", "1"), v("msg", "wanted\x1b[2J"))
			}()
		}
		return strings.Contains(s, "wanted")
	}
	code, out, _ := onScreen(t, false, enough, "ipsec", "log", "--level", "0", "--name", "branch", "--source", f.source)
	if code != exitInterrupted || strings.Contains(out, "detailed") || strings.Contains(out, "another") || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d: %q", code, out)
	}
	if code, _, errs := f.run(t, "log", "--level", "3"); code != exitUsage || !strings.Contains(errs, "levels -1 to 1") {
		t.Errorf("--level 2: exit code %d, %q", code, errs)
	}
}

// TestADocumentOfEventsIsWholeAtItsEnd proves that -o json and yaml of what
// ends by --duration meet the schema.
func TestADocumentOfEventsIsWholeAtItsEnd(t *testing.T) {
	f := office(t, nil)
	code, out, errs := f.run(t, "monitor", "--duration", "2s", "-o", "json")
	if code != exitFine {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	holds(t, "events", "", "json", out)
	if items(t, []byte(out), "events") != 1 {
		t.Errorf("want one event: %s", out)
	}
	if code, out, _ = f.run(t, "monitor", "--duration", "2s", "-o", "yaml"); code != exitFine || !strings.Contains(out, "- time: ") {
		t.Errorf("yaml: exit code %d, %s", code, out)
	}
}

func TestListsAreNarrowedByName(t *testing.T) {
	f := office(t, nil)
	for _, c := range []struct {
		args      []string
		has, hasn string
	}{
		{[]string{"list-sas", "--ike", "depot"}, "depot", "branch"},
		{[]string{"list-sas", "--child", "voice"}, "voice", "lan{4}"},
		{[]string{"list-sas", "--child", "net"}, "depot", "branch"},
		{[]string{"list-sas", "--ike", "attic"}, "Nothing of that name", "branch"},
		{[]string{"counters", "--name", "depot"}, "DEPOT", "BRANCH"},
	} {
		code, out, errs := f.run(t, c.args...)
		if code != exitFine || !strings.Contains(out, c.has) || strings.Contains(out, c.hasn) {
			t.Errorf("%v: exit code %d: %s%s", c.args, code, out, errs)
		}
	}
	if code, _, errs := f.run(t, "counters", "--name", "attic"); code != exitFailed || !strings.Contains(errs, "attic") {
		t.Errorf("exit code %d, %q", code, errs)
	}
	if code, _, _ := f.run(t, "counters", "--name", "depot", "--all"); code != exitUsage {
		t.Errorf("--name and --all: exit code %d", code)
	}
	var reset []string
	f = office(t, map[string]vicitest.Command{"reset-counters": func(c *vicitest.Call) []packet.Element {
		reset = append(reset, packet.Find(c.In, "name"))
		return []packet.Element{v("success", "yes")}
	}})
	if code, _, _ := f.run(t, "counters", "--all", "--reset"); code != exitFine || strings.Join(reset, " ") != "branch depot" {
		t.Errorf("exit code %d, reset %q", code, reset)
	}
}

// nothingBehind counts the goroutines and gives a function that waits until
// there are no more of this program's than before.
func nothingBehind(t *testing.T) func() {
	t.Helper()
	ours := func() (int, string) {
		b := make([]byte, 4<<20)
		all := strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n")
		n := 0
		var text strings.Builder
		for _, g := range all {
			if strings.Contains(g, "engine/vici.") || strings.Contains(g, "govici") {
				n++
				text.WriteString(g + "\n\n")
			}
		}
		return n, text.String()
	}
	before, _ := ours()
	return func() {
		t.Helper()
		for range 6000 {
			if n, _ := ours(); n <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		n, text := ours()
		t.Errorf("%d goroutines before, %d after:\n%s", before, n, text)
	}
}
