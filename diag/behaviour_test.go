package diag

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/trace"
)

func TestWhoRepeatsARequestAsASystemDoesSeemsToBeIt(t *testing.T) {
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		waits []float64 // seconds
		want  string
	}{
		{"strongSwan", []float64{4, 7.2, 13, 23.3}, "strongswan"},
		{"Libreswan", []float64{0.5, 1, 2, 4, 8}, "libreswan"},
		{"OpenIKED", []float64{2, 4, 8, 16}, "openiked"},
		{"nobody: too few", []float64{4, 7.2}, ""},
		{"nobody: every second", []float64{1, 1, 1, 1}, ""},
		{"nobody: doubling from another start", []float64{1, 2, 4, 8}, ""},
		{"nobody: more often than it does", []float64{4, 7.2, 13, 23.3, 42, 75.6}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &trace.Exchange{By: trace.Initiator, Request: &trace.Message{Time: begin}}
			at := begin
			for _, w := range c.waits {
				at = at.Add(time.Duration(w * float64(time.Second)))
				x.Repeats = append(x.Repeats, trace.Repeat{Time: at}, trace.Repeat{Time: at.Add(time.Millisecond), Response: true})
			}
			sa := &trace.IKESA{Exchanges: []*trace.Exchange{x}}
			if got, how := habit(sa, trace.Initiator); got != c.want || (how == "") != (c.want == "") {
				t.Errorf("it seems to be %q (%s), want %q", got, how, c.want)
			}
			if got, _ := habit(sa, trace.Responder); got != "" {
				t.Errorf("the other side seems to be %q", got)
			}
		})
	}
}

func TestWordsForAnotherSystemStayBesideAGuess(t *testing.T) {
	tr, subject := between()
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	x := &trace.Exchange{By: trace.Initiator, Request: &trace.Message{Time: begin}}
	for _, after := range []time.Duration{500, 1500, 3500, 7500} {
		x.Repeats = append(x.Repeats, trace.Repeat{Time: begin.Add(after * time.Millisecond)})
	}
	tr.SAs[0].Exchanges = []*trace.Exchange{x}
	found := Diagnose(&Facts{Trace: tr}, []Rule{{ID: "invented", Find: func(*Facts) []Finding {
		return []Finding{{Severity: High, Subject: subject, Remedies: []Remedy{libre("initiator", "x"), cisco("initiator", "x")}}}
	}}})
	r := found[0].Remedies
	if len(r) != 2 || r[0].Platform != "libreswan" || r[0].Other || r[1].Platform != "cisco" || !r[1].Other {
		t.Errorf("remedies are %+v", r)
	}
	want := "192.0.2.1 seems to be Libreswan: it repeats a request after 0.5, 1.0, 2.0, 4.0 s, as that does by default"
	if c := found[0].Claims; len(c) != 1 || c[0] != want {
		t.Errorf("claims are %q", c)
	}
}
