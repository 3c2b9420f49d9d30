package report

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

func facts() (*diag.Facts, []diag.Finding) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	t := trace.New(trace.Options{})
	sa := &engine.IKESA{Name: "office", UniqueID: 1, Version: 2, State: engine.IKEEstablished, InitiatorSPI: 0xa1, Initiator: engine.Some(true),
		Local: engine.Side{Host: netip.MustParseAddr("192.0.2.1"), ID: "a.example"}, Remote: engine.Side{Host: netip.MustParseAddr("2001:db8::2"), ID: "C=CH, O=Lab, CN=gate"}}
	t.Add(&event.Event{Time: at, Table: &event.Table{SAs: []*engine.IKESA{sa}}})
	f := diag.Finding{ID: "psk-mismatch", Severity: diag.Critical, Confidence: diag.Certain, Count: 1, FirstSeen: at, LastSeen: at,
		Subject:  diag.Subject{Local: "192.0.2.1", Remote: "2001:db8::2", SPIi: "00000000000000a1", Connection: "office"},
		Summary:  "the shared keys of 'a.example' and 'C=CH, O=Lab, CN=gate' differ <b>",
		Evidence: []diag.Evidence{{Time: at, What: "from 192.0.2.1[500] to 2001:db8::2[500], other.host.example said so\x1b[31m"}},
		Remedies: []diag.Remedy{{Side: "initiator", Platform: "strongswan", Change: "connections.office.remote.id = a.example"}, {Side: "responder", Platform: "cisco", Change: "match identity remote"}}}
	return &diag.Facts{Source: "vici:/run/charon.vici", Trace: t, Now: at}, []diag.Finding{f}
}

func TestAReportSpeaksToTheOtherSide(t *testing.T) {
	f, found := facts()
	r := New(f, found, Options{Version: "test"})
	md := string(r.Markdown())
	ours, yours := strings.Index(md, "on our side, strongswan"), strings.Index(md, "on your side, cisco")
	if ours < 0 || yours < 0 || yours > ours {
		t.Errorf("the reader's own changes do not come first:\n%s", md)
	}
	page := string(r.HTML())
	for name, text := range map[string]string{"markdown": md, "html": page} {
		if strings.ContainsAny(text, "\x1b") || strings.Contains(text, "<b>") {
			t.Errorf("%s: a stranger's text comes through:\n%s", name, text)
		}
	}
	if !strings.Contains(page, "match identity remote") || strings.Count(page, "<ul>") != strings.Count(page, "</ul>") {
		t.Errorf("not a page:\n%s", page)
	}
}

func TestAPseudonymisedReportNamesNobodyAndIsConsistent(t *testing.T) {
	f, found := facts()
	r := New(f, found, Options{Pseudonymise: true})
	j, err := r.JSON()
	if err != nil || !json.Valid(j) {
		t.Fatal(err)
	}
	for form, b := range map[string][]byte{"json": j, "markdown": r.Markdown(), "html": r.HTML()} {
		for _, name := range []string{"192.0.2.1", "2001:db8", "a.example", "gate", "office", "other.host", "/run/charon", "a1\""} {
			if bytes.Contains(b, []byte(name)) {
				t.Errorf("%s tells %s:\n%s", form, name, b)
			}
		}
	}
	if n := bytes.Count(j, []byte("address-1")); n < 2 {
		t.Errorf("one address has several pseudonyms:\n%s", j)
	}
	if found[0].Subject.Local != "192.0.2.1" || !strings.Contains(found[0].Evidence[0].What, "192.0.2.1") {
		t.Error("the findings themselves were changed")
	}
}
