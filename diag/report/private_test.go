package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/report"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// forms writes a report in its three forms.
func forms(t *testing.T, f *diag.Facts, found []diag.Finding) map[string]string {
	t.Helper()
	r := report.New(f, found, report.Options{Pseudonymise: true, Version: "test"})
	j, err := r.JSON()
	if err != nil || !json.Valid(j) {
		t.Fatalf("no JSON: %v", err)
	}
	return map[string]string{"JSON": string(j), "Markdown": string(r.Markdown()), "HTML": html.UnescapeString(string(r.HTML()))}
}

// tellsNone holds that no form of a report has any of the names.
func tellsNone(t *testing.T, f *diag.Facts, found []diag.Finding, names map[string]bool) {
	t.Helper()
	for form, text := range forms(t, f, found) {
		for name := range names {
			at := strings.Index(strings.ReplaceAll(text, `\_`, "_"), name)
			if at >= 0 {
				t.Errorf("%s tells %q: ...%s", form, name, text[max(0, at-60):min(len(text), at+len(name)+60)])
			}
		}
	}
}

// namesIn gathers from events what tells who somebody is, by other means than
// the report's.
func namesIn(names map[string]bool, e *event.Event) {
	address := func(a netip.Addr) {
		if a.IsValid() && !a.IsUnspecified() {
			names[a.String()] = true
		}
	}
	p := e.Packet
	if p == nil {
		return
	}
	address(p.Src)
	address(p.Dst)
	if p.ESP != nil && p.ESP.Inner != nil {
		address(p.ESP.Inner.Src)
		address(p.ESP.Inner.Dst)
	}
	if p.IKE == nil {
		return
	}
	if spi := p.IKE.Message.Header.InitiatorSPI; spi != 0 {
		names[spi.String()] = true
	}
	for i := range p.IKE.Inner {
		switch b := p.IKE.Inner[i].Body.(type) {
		case *wire.ID:
			names[b.String()] = true
		case *wire.TS:
			for _, s := range b.Selectors {
				address(s.Start)
			}
		}
	}
}

// Every capture of the corpus, with its keys: neither address, identity nor SPI
// of it is in a pseudonymised report, whatever its form.
func TestAPseudonymisedReportOfACaptureTellsNothingOfWhoIsInIt(t *testing.T) {
	const corpus = "../../testdata/captures"
	files, err := filepath.Glob(filepath.Join(corpus, "*.pcap"))
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	reported := 0
	for _, file := range files {
		var o dissect.Options
		if keys := strings.TrimSuffix(file, ".pcap") + ".keys"; exists(keys) {
			if o.Keys, err = keylog.Load([]string{keys}); err != nil {
				t.Fatal(err)
			}
		}
		src, err := capture.Open([]string{file}, capture.FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tr, names := trace.New(trace.Options{}), map[string]bool{filepath.Base(file): true}
		for e, err := range dissect.New(o).Events(src) {
			if err != nil {
				t.Fatal(err)
			}
			namesIn(names, e)
			tr.Add(e)
		}
		f := &diag.Facts{Source: "pcap:" + file, Trace: tr, Now: tr.Last}
		found := diag.Diagnose(f, rule.All())
		reported += len(found)
		t.Run(filepath.Base(file), func(t *testing.T) { tellsNone(t, f, found, names) })
	}
	if reported < 20 {
		t.Errorf("%d findings in all: this shows little", reported)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// secrets are names of every form that a source may hold, each planted where a
// daemon, a certificate or a host tells it.
var secrets = []string{"acme-hq", "branch_zh", "vpn.acme.example", "ike.acme.example", "remote.acme.example", "jane.doe@acme.example",
	"C=CH, O=Acme, CN=gate seven", "gate seven", "203.0.113.77", "2001:db8:77::7", "fe80::77", "/srv/jane/acme.pem", "f00dfeedf00dfeed", "c0ffee77", "Acme", "x7"}

// Whatever text a finding holds, in whatever field, and however often and close
// together names stand in it.
func TestAPseudonymHidesANameInEveryFieldOfAFinding(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tr := trace.New(trace.Options{})
	sa := &engine.IKESA{Name: "acme-hq", UniqueID: 1, Version: 2, State: engine.IKEEstablished, InitiatorSPI: 0xf00dfeedf00dfeed,
		Local:    engine.Side{Host: netip.MustParseAddr("203.0.113.77"), ID: "vpn.acme.example"},
		Remote:   engine.Side{Host: netip.MustParseAddr("2001:db8:77::7"), ID: "C=CH, O=Acme, CN=gate seven"},
		Children: []*engine.ChildSA{{Name: "branch_zh"}, {Name: "x7"}}}
	tr.Add(&event.Event{Time: at, Table: &event.Table{SAs: []*engine.IKESA{sa}}})
	names := map[string]bool{}
	for _, s := range secrets {
		names[s] = true
	}
	for _, e := range diag.All() {
		text := fmt.Sprintf("%s: peer's '%s', it's", e.ID, strings.Join(secrets, "' \""))
		text += " " + strings.Join(secrets, " ") + " src:203.0.113.77[500] c:2001:db8:77::7 fe80::77%eth0. <203.0.113.77/32> connections.acme-hq.children.branch_zh.local_ts = x7"
		f := diag.Finding{ID: e.ID, Severity: e.Severity, Confidence: diag.Likely, Ownership: e.Ownership, Count: 1, FirstSeen: at, LastSeen: at,
			Subject: diag.Subject{Local: "203.0.113.77", Remote: "2001:db8:77::7", SPIi: "f00dfeedf00dfeed", ChildSPI: "c0ffee77", Connection: "acme-hq"},
			Summary: text, Cause: e.Cause + text, Surer: text, Claims: []string{text}, Remedies: []diag.Remedy{{Side: "both", Platform: "strongswan", Change: text}},
			Evidence: []diag.Evidence{{Time: at, What: text}, {Time: at, What: strings.Repeat("vpn.acme.example ", 3)}}}
		tellsNone(t, &diag.Facts{Source: "vici:/srv/jane/acme.pem", Trace: tr, Now: at}, []diag.Finding{f}, names)
	}
}

// What a daemon's log says is quoted in findings.
func TestAPseudonymisedReportOfALogTellsNothingOfWhoIsInIt(t *testing.T) {
	tr := trace.New(trace.Options{})
	for i, text := range []string{"initiating IKE_SA acme-hq[1] to 203.0.113.77", "sending packet: from 203.0.113.78[500] to 203.0.113.77[500] (264 bytes)",
		"no issuer certificate found for \"C=CH, O=Acme, CN=gate seven\"", "tried 1 shared key for 'vpn.acme.example' - 'jane.doe@acme.example', but MAC mismatched",
		"received IDr ike.acme.example, but require vpn.acme.example", "unable to resolve remote.acme.example, initiate aborted"} {
		l := &event.Log{Group: "IKE", Level: 1, IKE: "acme-hq", IKEID: 1, Text: text}
		vici.Recognise(l)
		tr.Add(&event.Event{Time: time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC), Log: l})
	}
	f := &diag.Facts{Source: "vici:/run/acme.vici", Trace: tr, Now: tr.Last, Live: true, Connections: []*engine.Connection{{Name: "acme-hq", RemoteAddrs: []string{"remote.acme.example"}}}}
	found := diag.Diagnose(f, rule.All())
	if len(found) < 3 {
		t.Fatalf("%d findings: this shows little", len(found))
	}
	names := map[string]bool{"203.0.113.7": true, "/run/acme": true}
	for _, s := range secrets {
		names[s] = true
	}
	delete(names, "x7")
	tellsNone(t, f, found, names)
}

// A reader has to be able to follow: advice stays advice, and one name has one
// pseudonym.
func TestAPseudonymisedReportCanStillBeRead(t *testing.T) {
	for _, e := range diag.All() {
		f := diag.Finding{ID: e.ID, Severity: e.Severity, Cause: e.Cause, Remedies: e.Remedies}
		tr := trace.New(trace.Options{})
		r := report.New(&diag.Facts{Source: "pcap", Trace: tr}, []diag.Finding{f}, report.Options{Pseudonymise: true})
		for i, m := range r.Findings[0].Remedies {
			if m.Change != e.Remedies[i].Change && !strings.Contains(m.Change, "address-") {
				t.Errorf("%s: %q became %q", e.ID, e.Remedies[i].Change, m.Change)
			}
		}
		if got := r.Findings[0].Cause; got != e.Cause && !strings.Contains(got, "address-") {
			t.Errorf("%s: %q became %q", e.ID, e.Cause, got)
		}
	}
}

// Hostile text is shown and does nothing.
func TestAPageRunsNothingOfAStranger(t *testing.T) {
	tr := trace.New(trace.Options{})
	hostile := "<script>alert(1)</script><img src=x onerror=y>\x1b[31m\u202e&quot; ' onclick=\"z\" ](javascript:a) \x00"
	f := diag.Finding{ID: "psk-mismatch", Summary: hostile, Cause: hostile, Surer: hostile, Subject: diag.Subject{Local: hostile, Remote: hostile},
		Remedies: []diag.Remedy{{Side: hostile, Platform: hostile, Change: hostile}}, Evidence: []diag.Evidence{{What: hostile}}}
	for _, pseudonymise := range []bool{false, true} {
		page := report.New(&diag.Facts{Source: hostile, Trace: tr}, []diag.Finding{f}, report.Options{Pseudonymise: pseudonymise, Version: hostile}).HTML()
		body := page[bytes.Index(page, []byte("<body>")):]
		for _, tag := range []string{"<script", "<img", "\x1b", "\u202e", "\x00", `onclick="`} {
			if bytes.Contains(body, []byte(tag)) {
				t.Errorf("%q comes through:\n%s", tag, body)
			}
		}
	}
}
