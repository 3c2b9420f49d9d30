package vici

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recognised says in one line what a log line became.
func recognised(l *event.Log) string {
	show := func(kind string, v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return kind + " " + string(b)
	}
	switch {
	case l.Message != nil:
		return show("message", l.Message)
	case l.Datagram != nil:
		return show("datagram", l.Datagram)
	case l.Retransmit != nil:
		return show("retransmit", l.Retransmit)
	case l.Proposals != nil:
		return show("proposals", l.Proposals)
	case l.Failure != nil:
		return show("failure", l.Failure)
	case l.Established != nil:
		return show("established", l.Established)
	case l.Step != nil:
		return show("step", l.Step)
	}
	return "-"
}

// TestRealLinesOfCharonAreRecognised proves what becomes of one line of each
// form that charon 5.9.8 logged in the lab's scenarios.
func TestRealLinesOfCharonAreRecognised(t *testing.T) {
	f, err := os.Open("testdata/charon-5.9.8.log")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	var got bytes.Buffer
	n := 0
	err = ReadLog(f, func(e *event.Event) {
		n++
		if e.Time.Unix() != 1795317245 {
			t.Errorf("time of %q is %v", e.Log.Text, e.Time)
		}
		fmt.Fprintf(&got, "%s <%s|%d> %s\n\t%s\n", e.Log.Group, e.Log.IKE, e.Log.IKEID, e.Log.Text, recognised(e.Log))
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 150 {
		t.Fatalf("%d lines", n)
	}
	const golden = "testdata/charon-5.9.8.golden"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		a, b := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("line %d:\n got %s\nwant %s", i+1, a[i], b[i])
			}
		}
		t.Fatalf("%d lines, want %d", len(a), len(b))
	}
}

// TestFailuresThatTheLabDoesNotShow proves the rows of the table for lines
// that need a certificate that is wrong, a kernel that refuses, a RADIUS
// server, or another version.
func TestFailuresThatTheLabDoesNotShow(t *testing.T) {
	rows := []struct {
		text  string
		want  string
		local bool
		note  string
	}{
		{"received AUTHENTICATION_FAILED notify error", "notify", false, "AUTHENTICATION_FAILED"},
		{"received NO_PROPOSAL_CHOSEN error notify", "notify", false, "NO_PROPOSAL_CHOSEN"},
		{"tried 2 shared keys for 'a' - 'b', but MAC mismatched", "psk-mismatch", true, ""},
		{"no shared key found for 'a.example' - 'b.example'", "psk-not-found", true, ""},
		{"no issuer certificate found for \"C=CH, CN=x\"", "cert-no-issuer", true, ""},
		{"  self-signed certificate \"CN=x\" is not trusted", "cert-untrusted-root", true, ""},
		{"subject certificate invalid (valid from Jan 01 00:00:00 2020 to Jan 01 00:00:00 2021)", "cert-validity", true, ""},
		{"certificate was revoked on Jan 01 00:00:00 UTC 2021, reason: key compromise", "cert-revoked", true, ""},
		{"constraint check failed: identity 'b' required, not matched by 'c'", "constraint", true, ""},
		{"constraint requires public key authentication, but pre-shared key was used", "constraint-auth", true, ""},
		{"received IDr 'x', but require 'y'", "idr-mismatch", true, ""},
		{"no trusted RSA public key found for 'CN=x'", "no-trusted-key", true, ""},
		{"requesting EAP_TLS authentication, sending EAP_NAK", "eap-method", true, ""},
		{"EAP-MS-CHAPv2 failed with error ERROR_AUTHENTICATION_FAILURE: 'wrong'", "mschapv2-failed", false, ""},
		{"received EAP_FAILURE, EAP authentication failed", "eap-failed", false, ""},
		{"unable to install inbound and outbound IPsec SA (SAD) in kernel", "sa-install", true, ""},
		{"unable to add SAD entry with SPI c0ffee00 (FAILED)", "sa-install", true, ""},
		{"unable to resolve nowhere.example, initiate aborted", "dns", true, ""},
		{"establishing IKE_SA failed, peer not responding", "no-response", false, ""},
		{"deleting half open IKE_SA with 192.0.2.1 after timeout", "half-open-timeout", false, ""},
		{"unable to bind socket: Address already in use", "socket", true, ""},
		{"canceling IKE_SA setup due to uniqueness policy", "unique-refused", true, ""},
		{"no virtual IP found, sending INTERNAL_ADDRESS_FAILURE", "no-virtual-ip", true, "INTERNAL_ADDRESS_FAILURE"},
		{"key exchange method ML_KEM_768 not supported", "", true, ""},
		{"a PRF algorithm is mandatory in IKE proposals", "proposal-config", true, ""},
		{"an integrity algorithm is mandatory in ESP proposals with classic (non-AEAD) encryption algorithms", "proposal-config", true, ""},
		{"classic and combined-mode (AEAD) encryption algorithms can't be contained in the same IKE proposal", "proposal-config", true, ""},
		{"algorithm 'aes257' not recognized", "proposal-config", true, ""},
		{"requested key exchange method ML_KEM_768 not supported", "ke-unsupported", true, ""},
	}
	for _, r := range rows {
		l := &event.Log{Text: r.text}
		Recognise(l)
		switch {
		case r.want == "":
			if l.Failure != nil {
				t.Errorf("%q became %+v", r.text, l.Failure)
			}
		case l.Failure == nil:
			t.Errorf("%q was not recognised", r.text)
		case l.Failure.Kind != r.want || l.Failure.Local != r.local || l.Failure.Notify != r.note:
			t.Errorf("%q became %+v", r.text, l.Failure)
		}
	}
}

func TestPayloadListsAreSplitOutsideParentheses(t *testing.T) {
	got := splitPayloads("IDi CPRQ(ADDR DNS) EAP/REQ/ID  N(TS (x) y) D")
	want := []string{"IDi", "CPRQ(ADDR DNS)", "EAP/REQ/ID", "N(TS (x) y)", "D"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	l := &event.Log{Text: "parsed INFORMATIONAL response 4 [ ]"}
	if Recognise(l); l.Message == nil || len(l.Message.Payloads) != 0 {
		t.Errorf("%+v", l.Message)
	}
}

// TestEveryRowOfTheTableIsSound proves that each expression compiles, and
// that its cheap test cannot hide a line from it.
func TestEveryRowOfTheTableIsSound(t *testing.T) {
	for i := range patterns {
		p := &patterns[i]
		if p.re().NumSubexp() == 0 && p.set == nil {
			t.Errorf("row %d does nothing", i)
		}
		if p.has == "" {
			t.Errorf("row %d looks at every line", i)
		}
	}
}

func FuzzParseLogLine(f *testing.F) {
	f.Add("1795317245 11[ENC] <gw|1> generating IKE_AUTH request 1 [ IDi N(X) ]")
	f.Add("Mar  1 12:00:00 05[NET] sending packet: from ::1[500] to ::1[4500] (1 bytes)")
	f.Add("00[IKE] CHILD_SA a{1} established with SPIs 00000000_i ffffffff_o and TS a === b")
	f.Fuzz(func(t *testing.T, line string) {
		_, l, ok := ParseLogLine(line)
		if ok && l == nil {
			t.Error("a line without a log")
		}
		if ok && l.Message != nil {
			l.Message.Chain()
		}
	})
}
