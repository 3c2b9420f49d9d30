package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// attempts are ways in which bringing up a child goes, as charon logs them.
var attempts = []struct {
	name    string
	success bool
	why     string // in the error
	lines   []string
}{
	{"comes-up", true, "", []string{
		"ENC generating CREATE_CHILD_SA request 2 [ SA No KE TSi TSr ]",
		"ENC splitting IKE message (1544 bytes) into 2 fragments",
		"ENC generating CREATE_CHILD_SA request 2 [ EF(1/2) ]",
		"ENC generating CREATE_CHILD_SA request 2 [ EF(2/2) ]",
		"NET sending packet: from 192.0.2.1[4500] to 198.51.100.7[4500] (1248 bytes)",
		"NET sending packet: from 192.0.2.1[4500] to 198.51.100.7[4500] (368 bytes)",
		"IKE retransmit 1 of request with message ID 2",
		"NET sending packet: from 192.0.2.1[4500] to 198.51.100.7[4500] (1248 bytes)",
		"NET received packet: from 198.51.100.7[4500] to 192.0.2.1[4500] (272 bytes)",
		"ENC parsed CREATE_CHILD_SA response 2 [ SA No KE TSi TSr ]",
		"CFG selected proposal: ESP:AES_GCM_16_256/ECP_256/NO_EXT_SEQ",
		"IKE CHILD_SA voice{5} established with SPIs c0000002_i d0000002_o and TS 10.0.0.0/16 === 10.2.0.0/24",
	}},
	{"wrong-psk", false, "AUTHENTICATION_FAILED", []string{
		"IKE initiating IKE_SA branch[1] to 198.51.100.7",
		"ENC generating IKE_AUTH request 1 [ IDi AUTH SA TSi TSr ]",
		"NET sending packet: from 192.0.2.1[4500] to 198.51.100.7[4500] (271 bytes)",
		"NET received packet: from 198.51.100.7[4500] to 192.0.2.1[4500] (65 bytes)",
		"ENC parsed IKE_AUTH response 1 [ N(AUTH_FAILED) ]",
		"IKE received AUTHENTICATION_FAILED notify error",
	}},
	{"no-proposal", false, "no acceptable proposal found", []string{
		"ENC generating CREATE_CHILD_SA request 2 [ SA No TSi TSr ]",
		"NET sending packet: from 192.0.2.1[4500] to 198.51.100.7[4500] (177 bytes)",
		"NET received packet: from 198.51.100.7[4500] to 192.0.2.1[4500] (177 bytes)",
		"ENC parsed CREATE_CHILD_SA response 2 [ SA No TSi TSr ]",
		"CFG received proposals: ESP:AES_CBC_128/HMAC_SHA1_96/NO_EXT_SEQ",
		"CFG configured proposals: ESP:AES_GCM_16_256/NO_EXT_SEQ, ESP:CHACHA20_POLY1305_256/NO_EXT_SEQ",
		"IKE no acceptable proposal found",
		"IKE failed to establish CHILD_SA, keeping IKE_SA",
	}},
	{"no-answer", false, "peer not responding", []string{
		"ENC generating IKE_SA_INIT request 0 [ SA KE No ]",
		"NET sending packet: from 192.0.2.1[500] to 198.51.100.7[500] (264 bytes)",
		"IKE retransmit 1 of request with message ID 0",
		"NET sending packet: from 192.0.2.1[500] to 198.51.100.7[500] (264 bytes)",
		"IKE retransmit 2 of request with message ID 0",
		"NET sending packet: from 192.0.2.1[500] to 198.51.100.7[500] (264 bytes)",
		"IKE giving up after 2 retransmits",
		"IKE establishing IKE_SA failed, peer not responding",
	}},
}

// TestUpDrawsTheExchangesAndSaysWhyItFails holds ladder, reason and JSON of
// bringing a child up in golden files.
func TestUpDrawsTheExchangesAndSaysWhyItFails(t *testing.T) {
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			f := office(t, map[string]vicitest.Command{"initiate": func(c *vicitest.Call) []packet.Element {
				controlLog(c, "control-log", a.lines...)
				if a.success {
					return []packet.Element{v("success", "yes")}
				}
				return refuse("voice")
			}})
			want := exitFailed
			if a.success {
				want = exitFine
			}
			code, out, errs := f.run(t, "up", "branch/voice")
			if code != want || !strings.Contains(errs, a.why) {
				t.Errorf("exit code %d, want %d; %q", code, want, errs)
			}
			golden(t, "ipsec/up-"+a.name+".txt", masked(out))
			code, out, _ = f.run(t, "up", "branch/voice", "-o", "json")
			if code != want {
				t.Errorf("-o json: exit code %d, want %d", code, want)
			}
			holds(t, "action", "", "json", out)
			var d struct {
				Success           bool
				Connection, Child string
				Error             string
				Failures          []doc.Failure
				Events            []doc.Event
			}
			if err := json.Unmarshal([]byte(out), &d); err != nil {
				t.Fatal(err)
			}
			if d.Success != a.success || d.Connection != "branch" || d.Child != "voice" || len(d.Events) != len(a.lines) {
				t.Errorf("success %v of %s/%s with %d events", d.Success, d.Connection, d.Child, len(d.Events))
			}
			if d.Success == (len(d.Failures) > 0) || d.Success == (d.Error != "") {
				t.Errorf("success %v with %d failures and error %q", d.Success, len(d.Failures), d.Error)
			}
			_, out, _ = f.run(t, "up", "branch/voice", "-o", "jsonl")
			holds(t, "events", "event", "jsonl", out)
		})
	}
}

func TestUpAndDownLeaveAloneWhatIsSoAlready(t *testing.T) {
	never := func(*vicitest.Call) []packet.Element { return refuse("called") }
	f := office(t, map[string]vicitest.Command{"initiate": never, "terminate": never})
	if code, out, errs := f.run(t, "up", "branch/lan"); code != exitFine || !strings.Contains(out, "branch/lan is up already") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if code, out, errs := f.run(t, "down", "depot"); code != exitFine || !strings.Contains(out, "depot is down already") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// TestUpOfAConnectionBringsUpTheChildrenThatAreDown proves what is asked of
// the daemon.
func TestUpOfAConnectionBringsUpTheChildrenThatAreDown(t *testing.T) {
	var asked []string
	f := office(t, map[string]vicitest.Command{"initiate": func(c *vicitest.Call) []packet.Element {
		asked = append(asked, packet.Find(c.In, "ike")+"/"+packet.Find(c.In, "child")+" "+packet.Find(c.In, "loglevel"))
		return []packet.Element{v("success", "yes")}
	}})
	if code, _, errs := f.run(t, "up", "branch", "--ipsec-debug", "2"); code != exitFine {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if got := strings.Join(asked, ","); got != "branch/voice 2" {
		t.Errorf("asked for %q", got)
	}
}

func TestKeysAreTalkedOfBeforeTheyAreAskedFor(t *testing.T) {
	f := office(t, nil)
	_, _, errs := f.run(t, "up", "branch/voice", "--ipsec-debug", "4")
	if !strings.Contains(errs, "secret") {
		t.Errorf("no warning: %q", errs)
	}
}

func TestNamesMeanConnectionsOrChildren(t *testing.T) {
	f := office(t, nil)
	for _, c := range []struct {
		name string
		code int
		says string
	}{
		{"branch", exitFine, ""},
		{"branch/voice", exitFine, ""},
		{"voice", exitFine, ""},
		{"attic", exitFailed, `no connection or child "attic"; it has branch, branch/lan, branch/voice`},
		{"branch/attic", exitFailed, "no connection or child"},
		{"", exitUsage, "one NAME"},
	} {
		code, _, errs := f.run(t, "up", c.name)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("up %q: exit code %d, %q", c.name, code, errs)
		}
	}
	twice := office(t, map[string]vicitest.Command{"list-conns": func(c *vicitest.Call) []packet.Element {
		for _, name := range []string{"a", "b"} {
			c.Raise("list-conn", sub(name, sub("children", sub("net", v("mode", "TUNNEL")))))
		}
		return nil
	}})
	if code, _, errs := twice.run(t, "up", "net"); code != exitUsage || !strings.Contains(errs, "a/net or b/net") {
		t.Errorf("an ambiguous name: exit code %d, %q", code, errs)
	}
}

// TestRekeyFollowsTheLogUntilTheNewSAIsThere proves that a rekeying is waited
// for, and that its failure is told.
func TestRekeyFollowsTheLogUntilTheNewSAIsThere(t *testing.T) {
	for _, c := range []struct {
		name string
		code int
		says string
		tell func(*fake)
	}{
		{"is rekeyed", exitFine, "branch/lan is rekeyed", func(f *fake) {
			raiseLog(f, "ENC generating CREATE_CHILD_SA request 9 [ N(REKEY_SA) SA No TSi TSr ]")
			sa := func(id string) []packet.Element {
				return []packet.Element{v("name", "lan"), v("uniqueid", id), v("state", "INSTALLED")}
			}
			f.Raise("child-rekey", sub("branch", v("uniqueid", "1"), v("state", "ESTABLISHED"),
				sub("child-sas", sub("lan", sub("old", sa("4")...), sub("new", sa("5")...)))))
		}},
		{"is refused", exitFailed, "NO_PROPOSAL_CHOSEN", func(f *fake) {
			raiseLog(f, "IKE received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built")
		}},
		{"takes too long", exitFailed, "not ended", func(*fake) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f *fake
			f = office(t, map[string]vicitest.Command{"rekey": func(*vicitest.Call) []packet.Element {
				c.tell(f)
				return []packet.Element{v("success", "yes"), v("matches", "1")}
			}})
			code, out, errs := f.run(t, "rekey", "branch/lan", "--timeout", "2s")
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
		})
	}
	f := office(t, nil)
	if code, _, errs := f.run(t, "rekey", "depot"); code != exitFailed || !strings.Contains(errs, "nothing to rekey") {
		t.Errorf("of what is down: exit code %d, %q", code, errs)
	}
}

func raiseLog(f *fake, lines ...string) {
	for _, line := range lines {
		group, text, _ := strings.Cut(line, " ")
		f.Raise("log", v("group", group), v("level", "1"), v("thread", "7"), v("ikesa-name", "branch"), v("ikesa-uniqueid", "1"), v("msg", text))
	}
}

// TestDPDSaysHonestlyThatThereIsNone proves the advice where the daemon makes
// no liveness checks.
func TestDPDSaysHonestlyThatThereIsNone(t *testing.T) {
	f := office(t, map[string]vicitest.Command{"list-conns": func(c *vicitest.Call) []packet.Element {
		c.Raise("list-conn", sub("branch", v("version", "IKEv2"), v("dpd_delay", "0"), sub("children")))
		return nil
	}})
	code, _, errs := f.run(t, "dpd", "branch")
	if code != exitFailed || !strings.Contains(errs, "dpd_delay") || !strings.Contains(errs, "ipsec rekey branch") {
		t.Errorf("exit code %d, %q", code, errs)
	}
	if code, _, errs = f.run(t, "dpd", "branch", "--timeout", "1s"); code != exitFailed {
		t.Errorf("exit code %d, %q", code, errs)
	}
	if code, _, errs := office(t, nil).run(t, "dpd", "depot"); code != exitFailed || !strings.Contains(errs, "depot is down") {
		t.Errorf("of what is down: exit code %d, %q", code, errs)
	}
}

// TestAnInterruptEndsAWaitingCommand proves that Ctrl-C ends a command that
// waits for the daemon, with the exit code for it.
func TestAnInterruptEndsAWaitingCommand(t *testing.T) {
	release := make(chan struct{})
	f := office(t, map[string]vicitest.Command{"initiate": func(c *vicitest.Call) []packet.Element {
		controlLog(c, "control-log", "IKE initiating IKE_SA branch[1] to 198.51.100.7")
		<-release
		return nil
	}})
	defer close(release)
	enough := func(s string) bool { return strings.Contains(s, "initiating") }
	if code, _, errs := onScreen(t, false, enough, "ipsec", "up", "branch/voice", "--source", f.source); code != exitInterrupted || !strings.Contains(errs, "interrupted") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}
