package diag

import (
	"bytes"
	"encoding/json"
	"time"
)

// Schema names the form of a Report in JSON.
const Schema = "cvlanctl/diagnosis/v1"

// Report is what Diagnose found on one source; it marshals as a document of
// the schema cvlanctl/diagnosis/v1.
type Report struct {
	Source   string
	Findings []Finding
}

type reportJSON struct {
	Schema   string    `json:"schema"`
	Source   string    `json:"source"`
	Healthy  bool      `json:"healthy"`
	Findings []Finding `json:"findings"`
}

// MarshalJSON writes the document.
func (r Report) MarshalJSON() ([]byte, error) {
	doc := reportJSON{Schema: Schema, Source: r.Source, Healthy: Healthy(r.Findings), Findings: r.Findings}
	if doc.Findings == nil {
		doc.Findings = []Finding{}
	}
	return marshal(doc)
}

type findingJSON struct {
	ID           string         `json:"id"`
	Severity     string         `json:"severity"`
	Confidence   string         `json:"confidence"`
	Ownership    Ownership      `json:"ownership"`
	Subject      subjectJSON    `json:"subject"`
	Summary      string         `json:"summary"`
	Cause        string         `json:"cause"`
	Remedies     []remedyJSON   `json:"remedies"`
	Claims       []string       `json:"claims,omitempty"`
	Evidence     []evidenceJSON `json:"evidence"`
	FirstSeen    string         `json:"first_seen,omitempty"`
	LastSeen     string         `json:"last_seen,omitempty"`
	Count        int            `json:"count"`
	Consequences []string       `json:"consequences"`
	Surer        string         `json:"surer,omitempty"`
}

type subjectJSON struct {
	Local      string `json:"local,omitempty"`
	Remote     string `json:"remote,omitempty"`
	SPIi       string `json:"spi_i,omitempty"`
	SPIr       string `json:"spi_r,omitempty"`
	ChildSPI   string `json:"child_spi,omitempty"`
	Connection string `json:"connection,omitempty"`
}

type remedyJSON struct {
	Side     string `json:"side"`
	Platform string `json:"platform"`
	Change   string `json:"change"`
	Other    bool   `json:"other,omitempty"`
}

type evidenceJSON struct {
	Frame int64  `json:"frame,omitempty"`
	Time  string `json:"time,omitempty"`
	What  string `json:"what"`
}

// MarshalJSON writes the finding as it stands in a Report.
func (f Finding) MarshalJSON() ([]byte, error) {
	doc := findingJSON{
		ID: f.ID, Severity: f.Severity.String(), Confidence: f.Confidence.String(), Ownership: f.Ownership,
		Subject: subjectJSON(f.Subject), Summary: f.Summary, Cause: f.Cause,
		Remedies: make([]remedyJSON, len(f.Remedies)), Claims: f.Claims, Evidence: make([]evidenceJSON, len(f.Evidence)),
		FirstSeen: stamp(f.FirstSeen), LastSeen: stamp(f.LastSeen),
		Count: f.Count, Consequences: f.Consequences, Surer: f.Surer,
	}
	for i, r := range f.Remedies {
		doc.Remedies[i] = remedyJSON(r)
	}
	for i, e := range f.Evidence {
		doc.Evidence[i] = evidenceJSON{Frame: e.Frame, Time: stamp(e.Time), What: e.What}
	}
	if doc.Consequences == nil {
		doc.Consequences = []string{}
	}
	return marshal(doc)
}

// marshal writes JSON for people and programs, not for HTML: < stays <.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// stamp writes a time as every document does: RFC 3339 with nanoseconds, UTC;
// "" for a time that is not known.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
}
