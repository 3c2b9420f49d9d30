package doc

import (
	"encoding/json"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TestPeerSchema is the kind of a TestPeer.
const TestPeerSchema = "cvlanctl/test-peer/v1"

// TestPeer is what `cvlanctl ipsec test-peer` prints.
type TestPeer struct {
	Schema     string         `json:"schema"`
	Time       string         `json:"time"`
	Peer       string         `json:"peer"`
	Connection string         `json:"connection,omitempty"`
	Child      string         `json:"child,omitempty"`
	Local      string         `json:"local,omitempty"`
	Remote     string         `json:"remote,omitempty"`
	Status     string         `json:"status"` // pass, warn or fail: the worst step
	Duration   json.Number    `json:"duration"`
	Steps      []TestPeerStep `json:"steps"`
	Findings   []diag.Finding `json:"findings"`
	ESP        *TestPeerESP   `json:"esp,omitempty"`
}

// TestPeerESP is what the peer takes for ESP, graded by a profile.
type TestPeerESP struct {
	Profile    string              `json:"profile"`
	Worst      string              `json:"worst,omitempty"` // the worst grade of what is accepted
	Transforms []TestPeerTransform `json:"transforms"`
}

// TestPeerTransform is one ESP algorithm that was asked for alone.
type TestPeerTransform struct {
	Type      string `json:"type"`
	TypeID    uint8  `json:"type_id"`
	ID        uint16 `json:"id"`
	Name      string `json:"name"`
	KeyLength int    `json:"key_length,omitempty"`
	Keyword   string `json:"keyword"`
	Accepted  bool   `json:"accepted"`
	Suite     string `json:"suite,omitempty"`
	Answer    string `json:"answer,omitempty"`
	Grade     string `json:"grade"`
	Why       string `json:"why"`
}

// NewTestPeerESP makes the part about ESP, nil where it was not asked for.
func NewTestPeerESP(r *peer.Report, p *grade.Profile) *TestPeerESP {
	if p == nil || len(r.ESP) == 0 {
		return nil
	}
	d := &TestPeerESP{Profile: p.Name}
	worst := grade.Level(0)
	for i := range r.ESP {
		a := &r.ESP[i]
		t := &a.Algorithm
		g := p.OfESP(t.Type, t.ID, t.KeyLength())
		if a.Accepted && g.Level != grade.Unnamed {
			worst = max(worst, g.Level)
		}
		d.Transforms = append(d.Transforms, TestPeerTransform{Type: t.Type.String(), TypeID: uint8(t.Type), ID: t.ID, Name: wire.TransformName(t.Type, t.ID),
			KeyLength: t.KeyLength(), Keyword: t.Keyword(), Accepted: a.Accepted, Suite: a.Suite, Answer: a.Answer, Grade: g.Level.String(), Why: g.Why})
	}
	if worst > 0 {
		d.Worst = worst.String()
	}
	return d
}

// TestPeerStep is one step.
type TestPeerStep struct {
	Step     string         `json:"step"`
	Status   string         `json:"status"`
	Duration json.Number    `json:"duration"`
	Detail   string         `json:"detail"`
	Findings []diag.Finding `json:"findings"`
	Tries    []TestPeerTry  `json:"tries,omitempty"`
}

// TestPeerTry is another way to authenticate that was tried.
type TestPeerTry struct {
	Kind     string `json:"kind"`
	Near     string `json:"near,omitempty"`
	Change   string `json:"change"`
	Accepted bool   `json:"accepted"`
	Answer   string `json:"answer,omitempty"`
	PeerID   string `json:"peer_id,omitempty"`
}

// NewTestPeerStep makes the item of a step.
func NewTestPeerStep(s *peer.Step) TestPeerStep {
	d := TestPeerStep{Step: s.Name, Status: string(s.Status), Duration: decimal(s.Duration), Detail: s.Detail, Findings: append([]diag.Finding{}, s.Findings...)}
	for i := range s.Tries {
		t := &s.Tries[i]
		d.Tries = append(d.Tries, TestPeerTry{t.Kind, t.Near, t.Says, t.Accepted, t.Answer, t.PeerID})
	}
	return d
}

// NewTestPeer makes the document of a test that began at a time.
func NewTestPeer(r *peer.Report, began time.Time) *TestPeer {
	d := &TestPeer{Schema: TestPeerSchema, Time: stamp(began), Peer: r.Target.Host, Connection: r.Target.Connection, Child: r.Target.Child,
		Status: string(r.Worst()), Duration: decimal(r.Took), Findings: append([]diag.Finding{}, r.Findings...)}
	if r.Local.IsValid() {
		d.Local = r.Local.String()
	}
	if r.Remote.IsValid() {
		d.Remote = r.Remote.String()
	}
	for i := range r.Steps {
		d.Steps = append(d.Steps, NewTestPeerStep(&r.Steps[i]))
	}
	return d
}
