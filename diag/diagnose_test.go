package diag_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func facts() *diag.Facts {
	return &diag.Facts{Source: "pcap:x.pcap", Trace: trace.New(trace.Options{}), Now: at(100)}
}

// says makes a rule that reports the given findings.
func says(id string, after []string, found ...diag.Finding) diag.Rule {
	return diag.Rule{ID: id, After: after, Find: func(*diag.Facts) []diag.Finding { return found }}
}

var ab = diag.Subject{Local: "192.0.2.1", Remote: "192.0.2.2"}

func ids(found []diag.Finding) string {
	var l []string
	for _, f := range found {
		l = append(l, f.ID)
	}
	return strings.Join(l, " ")
}

func TestAConsequenceStandsUnderItsCauseThroughChains(t *testing.T) {
	found := diag.Diagnose(facts(), []diag.Rule{
		says("esp-one-way-out", []string{"dpd-timeout"}, diag.Finding{Subject: ab, Severity: diag.High, FirstSeen: at(30), LastSeen: at(40)}),
		says("dpd-timeout", []string{"nat-mapping-timeout"}, diag.Finding{Subject: ab, Severity: diag.Critical, FirstSeen: at(20), LastSeen: at(35)}),
		says("nat-mapping-timeout", nil, diag.Finding{Subject: ab, Severity: diag.Medium, FirstSeen: at(10), LastSeen: at(20)}),
	})
	if len(found) != 1 || found[0].ID != "nat-mapping-timeout" {
		t.Fatalf("findings %s, want the root alone", ids(found))
	}
	if d := cmp.Diff([]string{"dpd-timeout", "esp-one-way-out"}, found[0].Consequences); d != "" {
		// Order is that of their first sight.
		t.Errorf("consequences (-want +got):\n%s", d)
	}
	if found[0].Severity != diag.Critical {
		t.Errorf("severity %s: a cause is as bad as what follows from it", found[0].Severity)
	}
}

func TestAConsequenceNeedsTheSamePeersAndACauseBeforeItsEnd(t *testing.T) {
	for _, row := range []struct {
		name   string
		effect diag.Finding
		folded bool
	}{
		{"the same peers", diag.Finding{Subject: ab, FirstSeen: at(20), LastSeen: at(30)}, true},
		{"the other side calling", diag.Finding{Subject: diag.Subject{Local: ab.Remote, Remote: ab.Local}, FirstSeen: at(20), LastSeen: at(30)}, true},
		{"only one address known", diag.Finding{Subject: diag.Subject{Remote: ab.Remote}, FirstSeen: at(20), LastSeen: at(30)}, true},
		{"another peer", diag.Finding{Subject: diag.Subject{Local: ab.Local, Remote: "192.0.2.9"}, FirstSeen: at(20), LastSeen: at(30)}, false},
		{"another connection", diag.Finding{Subject: diag.Subject{Local: ab.Local, Remote: ab.Remote, Connection: "b"}, FirstSeen: at(20), LastSeen: at(30)}, false},
		{"over before the cause began", diag.Finding{Subject: ab, FirstSeen: at(1), LastSeen: at(2)}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			cause := diag.Finding{Subject: ab, FirstSeen: at(10), LastSeen: at(15)}
			cause.Subject.Connection = "a"
			found := diag.Diagnose(facts(), []diag.Rule{
				says("dpd-timeout", nil, cause),
				says("esp-one-way-out", []string{"dpd-timeout"}, row.effect),
			})
			if folded := len(found) == 1; folded != row.folded {
				t.Errorf("findings %s, folded %v, want %v", ids(found), folded, row.folded)
			}
		})
	}
}

func TestCausesInACircleStandForThemselves(t *testing.T) {
	found := diag.Diagnose(facts(), []diag.Rule{
		says("esp-one-way-in", []string{"esp-one-way-out"}, diag.Finding{Subject: ab}),
		says("esp-one-way-out", []string{"esp-one-way-in"}, diag.Finding{Subject: ab}),
	})
	if len(found) != 2 {
		t.Errorf("findings %q, want both", ids(found))
	}
}

func TestRankIsSeverityConfidenceTimeCount(t *testing.T) {
	mk := func(local string, s diag.Severity, c diag.Confidence, sec, n int) diag.Finding {
		return diag.Finding{Subject: diag.Subject{Local: local}, Severity: s, Confidence: c, FirstSeen: at(sec), LastSeen: at(sec), Count: n}
	}
	found := diag.Diagnose(facts(), []diag.Rule{says("dpd-timeout", nil,
		mk("6", diag.Info, diag.Certain, 1, 9),
		mk("5", diag.High, diag.Likely, 2, 1),
		mk("4", diag.High, diag.Likely, 2, 5),
		mk("3", diag.High, diag.Likely, 1, 1),
		mk("2", diag.High, diag.Certain, 9, 1),
		mk("1", diag.Critical, diag.Hint, 9, 1),
	)})
	order := ""
	for _, f := range found {
		order += f.Subject.Local
	}
	if order != "123456" {
		t.Errorf("order %s", order)
	}
}

func TestTheSameFindingOnTheSamePeersIsOneCounted(t *testing.T) {
	one := diag.Finding{Subject: ab, Severity: diag.Low, Confidence: diag.Hint, Summary: "mild", FirstSeen: at(1), LastSeen: at(2), Evidence: []diag.Evidence{{Frame: 1}}}
	two := diag.Finding{Subject: ab, Severity: diag.High, Confidence: diag.Likely, Summary: "bad", FirstSeen: at(5), LastSeen: at(9), Count: 3, Evidence: []diag.Evidence{{Frame: 7}}}
	two.Subject.SPIi = "00000000000000aa"
	other := diag.Finding{Subject: ab, Severity: diag.High, Variant: "another", FirstSeen: at(6), LastSeen: at(6)}
	found := diag.Diagnose(facts(), []diag.Rule{says("esp-path-loss", nil, two, one, other)})
	if len(found) != 2 {
		t.Fatalf("%d findings, want 2", len(found))
	}
	f := found[0]
	if f.Count != 4 || f.Summary != "bad" || f.Severity != diag.High || !f.FirstSeen.Equal(at(1)) || !f.LastSeen.Equal(at(9)) || len(f.Evidence) != 2 {
		t.Errorf("merged %+v", f)
	}
}

func TestEvidenceOfAMergedFindingIsBounded(t *testing.T) {
	var all []diag.Finding
	for i := range 1000 {
		all = append(all, diag.Finding{Subject: ab, FirstSeen: at(i), LastSeen: at(i), Evidence: []diag.Evidence{{Frame: int64(i + 1)}}})
	}
	found := diag.Diagnose(facts(), []diag.Rule{says("dpd-timeout", nil, all...)})
	if len(found) != 1 || found[0].Count != 1000 || len(found[0].Evidence) > 32 {
		t.Errorf("%d findings, count %d, %d pieces of evidence", len(found), found[0].Count, len(found[0].Evidence))
	}
}

func TestDiagnoseFillsInFromTheCatalogueWhatARuleLeavesOpen(t *testing.T) {
	found := diag.Diagnose(facts(), []diag.Rule{says("lifetime-mismatch", nil, diag.Finding{Subject: ab})})
	e, _ := diag.Lookup("lifetime-mismatch")
	f := found[0]
	if f.Severity != e.Severity || f.Ownership != e.Ownership || f.Cause != e.Cause || len(f.Remedies) != len(e.Remedies) || f.Count != 1 || f.Confidence != diag.Hint {
		t.Errorf("finding %+v", f)
	}
}

func TestAFindingMadeExternalLosesConfigurationAdvice(t *testing.T) {
	found := diag.Diagnose(facts(), []diag.Rule{says("lifetime-mismatch", nil, diag.Finding{Subject: ab, Ownership: diag.External})})
	if len(found[0].Remedies) != 0 {
		t.Errorf("external, and advises %v", found[0].Remedies)
	}
}

func TestHealthyIsNothingAboveInfo(t *testing.T) {
	for _, row := range []struct {
		name  string
		found []diag.Finding
		want  bool
	}{
		{"nothing", nil, true},
		{"info", []diag.Finding{{Severity: diag.Info}}, true},
		{"low", []diag.Finding{{Severity: diag.Info}, {Severity: diag.Low}}, false},
	} {
		if got := diag.Healthy(row.found); got != row.want {
			t.Errorf("%s: healthy %v", row.name, got)
		}
	}
	if diag.Worst(nil).AtLeast(diag.Info) || !diag.Worst([]diag.Finding{{Severity: diag.Low}}).AtLeast(diag.Low) {
		t.Error("the worst of nothing is no severity")
	}
}

func TestSeveritiesReadBackAndCompare(t *testing.T) {
	for _, name := range []string{"critical", "high", "medium", "low", "info"} {
		s, err := diag.ParseSeverity(name)
		if err != nil || s.String() != name {
			t.Errorf("ParseSeverity(%q) = %v, %v", name, s, err)
		}
	}
	for _, name := range []string{"", "HIGH", "certain"} {
		if _, err := diag.ParseSeverity(name); err == nil {
			t.Errorf("ParseSeverity(%q) succeeds", name)
		}
	}
	if !diag.Critical.AtLeast(diag.High) || diag.Low.AtLeast(diag.High) || !diag.High.AtLeast(diag.High) || diag.Severity(0).AtLeast(diag.Info) {
		t.Error("AtLeast")
	}
	if diag.Certain.Weaker() != diag.Likely || diag.Hint.Weaker() != diag.Hint {
		t.Error("Weaker")
	}
}

func TestJSONHasTheFieldsOfTheContractAndOmitsWhatIsNotKnown(t *testing.T) {
	full := diag.Finding{
		ID: "no-proposal-ike", Severity: diag.High, Confidence: diag.Certain, Ownership: diag.PeerConfig,
		Subject: diag.Subject{Local: "192.0.2.1", Remote: "192.0.2.2", SPIi: "0edaee72093903a1", SPIr: "00000000000000ff", ChildSPI: "be9debbe", Connection: "gw"},
		Summary: "s", Cause: "c", Remedies: []diag.Remedy{{Side: "responder", Platform: "strongswan", Change: "x = y"}},
		Evidence:  []diag.Evidence{{Frame: 2, Time: at(1), What: "w"}, {What: "v"}},
		FirstSeen: at(0), LastSeen: at(1).Add(time.Nanosecond), Count: 2, Consequences: []string{"dpd-timeout"}, Surer: "keys",
	}
	bare := diag.Finding{ID: "dpd-timeout", Severity: diag.Info, Confidence: diag.Hint, Ownership: diag.External, Count: 1}
	got, err := json.Marshal(diag.Report{Source: "pcap:x.pcap", Findings: []diag.Finding{full, bare}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":"cvlanctl/diagnosis/v1","source":"pcap:x.pcap","healthy":false,"findings":[` +
		`{"id":"no-proposal-ike","severity":"high","confidence":"certain","ownership":"peer-config",` +
		`"subject":{"local":"192.0.2.1","remote":"192.0.2.2","spi_i":"0edaee72093903a1","spi_r":"00000000000000ff","child_spi":"be9debbe","connection":"gw"},` +
		`"summary":"s","cause":"c","remedies":[{"side":"responder","platform":"strongswan","change":"x = y"}],` +
		`"evidence":[{"frame":2,"time":"2026-03-01T12:00:01.000000000Z","what":"w"},{"what":"v"}],` +
		`"first_seen":"2026-03-01T12:00:00.000000000Z","last_seen":"2026-03-01T12:00:01.000000001Z","count":2,"consequences":["dpd-timeout"],"surer":"keys"},` +
		`{"id":"dpd-timeout","severity":"info","confidence":"hint","ownership":"external","subject":{},"summary":"","cause":"","remedies":[],"evidence":[],"count":1,"consequences":[]}]}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	got, err = json.Marshal(diag.Report{Source: "pcap:y.pcap"})
	if want := `{"schema":"cvlanctl/diagnosis/v1","source":"pcap:y.pcap","healthy":true,"findings":[]}`; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
