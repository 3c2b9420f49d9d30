package doc

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/diag/probe/scan"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// ScanSchema is the kind of a Scan.
const ScanSchema = "cvlanctl/scan/v1"

// Scan is what `cvlanctl ipsec scan` prints. It is also what a later scan goes
// on from.
type Scan struct {
	Schema        string          `json:"schema"`
	Target        string          `json:"target"`
	Host          string          `json:"host"`
	Port          uint16          `json:"port"`
	NATTPort      uint16          `json:"natt_port"`
	Complete      bool            `json:"complete"`
	Incomplete    string          `json:"incomplete,omitempty"`
	IKEv2         string          `json:"ikev2,omitempty"`
	NATT          string          `json:"natt,omitempty"`
	IKEv1         string          `json:"ikev1,omitempty"`
	Aggressive    string          `json:"ikev1_aggressive,omitempty"`
	MajorVersion3 string          `json:"major_version_3,omitempty"`
	Critical      string          `json:"unknown_critical_payload,omitempty"`
	Cookie        bool            `json:"cookie_demanded"`
	NATLocal      *bool           `json:"nat_local,omitempty"`
	NATRemote     *bool           `json:"nat_remote,omitempty"`
	Fragmentation *bool           `json:"fragmentation,omitempty"`
	Childless     *bool           `json:"childless,omitempty"`
	Notifies      []string        `json:"notifies"`
	Hashes        []string        `json:"signature_hashes,omitempty"`
	Vendors       []ScanVendor    `json:"vendors"`
	Profile       string          `json:"profile"`
	Worst         string          `json:"worst,omitempty"` // the worst grade of what is accepted
	Transforms    []ScanTransform `json:"transforms"`
	Disagreements []string        `json:"disagreements"` // keywords of what was accepted among others and not alone
	Doubtful      []string        `json:"doubtful"`      // keywords of what was agreed to, and nothing answered after it
	Suites        []string        `json:"suites"`        // that the host chose, in swanctl's spelling
	Requests      int             `json:"requests"`
	MaxRequests   int             `json:"max_requests"`
	RTT           json.Number     `json:"rtt,omitempty"`
	Questions     []ScanQuestion  `json:"questions"`
}

// ScanVendor is one vendor id, and what it claims to be.
type ScanVendor struct {
	Data   string `json:"data"`
	Claims string `json:"claims,omitempty"`
}

// ScanTransform is one algorithm that the host accepts.
type ScanTransform struct {
	Type      string `json:"type"`
	TypeID    uint8  `json:"type_id"`
	ID        uint16 `json:"id"`
	Name      string `json:"name"`
	KeyLength int    `json:"key_length,omitempty"`
	Keyword   string `json:"keyword"`
	Chosen    bool   `json:"chosen"`          // it stood in an answer's proposal; else a group that we cannot compute was named
	Confirmed bool   `json:"confirmed"`       // accepted in a proposal of its own
	Alone     string `json:"alone,omitempty"` // outcome of that proposal
	Grade     string `json:"grade"`
	Why       string `json:"why"`
}

// ScanQuestion is one question with its outcome.
type ScanQuestion struct {
	Name      string      `json:"name"`
	Offer     string      `json:"offer,omitempty"`
	NATTPort  bool        `json:"natt_port"`
	Outcome   string      `json:"outcome"`
	Suite     string      `json:"suite,omitempty"`
	Group     string      `json:"group,omitempty"`
	Notifies  []string    `json:"notifies,omitempty"`
	Vendors   []string    `json:"vendors,omitempty"`
	Cookie    bool        `json:"cookie"`
	NATLocal  *bool       `json:"nat_local,omitempty"`
	NATRemote *bool       `json:"nat_remote,omitempty"`
	Hashes    []string    `json:"signature_hashes,omitempty"`
	Closed    *bool       `json:"closed,omitempty"`
	RTT       json.Number `json:"rtt,omitempty"`
	Requests  int         `json:"requests"`
}

// NewScan makes the document of a scan of a target, graded by a profile.
func NewScan(target string, r *scan.Result, p *grade.Profile) *Scan {
	d := &Scan{Schema: ScanSchema, Target: target, Host: r.Host.String(), Port: r.Port, NATTPort: r.NATTPort, Complete: r.Complete,
		Incomplete: r.Incomplete, IKEv2: string(r.IKEv2), NATT: string(r.Port4500), IKEv1: string(r.IKEv1), Aggressive: string(r.Aggressive),
		MajorVersion3: r.MajorVersion3, Critical: r.Critical, Cookie: r.Cookie, NATLocal: r.NATLocal, NATRemote: r.NATRemote,
		Notifies: append([]string{}, r.Notifies...), Hashes: r.Hashes, Profile: p.Name, Suites: append([]string{}, r.Suites...),
		Requests: r.Requests, MaxRequests: r.MaxRequests, RTT: duration(r.RTT), Vendors: []ScanVendor{}, Transforms: []ScanTransform{}, Questions: []ScanQuestion{}, Disagreements: []string{}, Doubtful: []string{}}
	if len(r.Suites) > 0 { // only an accepting answer tells
		fragments, childless := r.Has(wire.NotifyFragmentationSupported), r.Has(wire.NotifyChildlessIKEv2Supported)
		d.Fragmentation, d.Childless = &fragments, &childless
	}
	for _, v := range r.Vendors {
		one := ScanVendor{Data: hex.EncodeToString(v)}
		if name, known := wire.VendorName(v); known || name != "" {
			one.Claims = name
		}
		d.Vendors = append(d.Vendors, one)
	}
	worst, levels := grade.Level(0), map[string]grade.Level{}
	for i := range r.Accepted {
		a := &r.Accepted[i]
		g := p.Of(a.Type, a.ID, a.Bits)
		if g.Level != grade.Unnamed {
			worst = max(worst, g.Level)
		}
		levels[a.Keyword()] = g.Level
		if a.Contradicted() {
			d.Disagreements = append(d.Disagreements, a.Keyword())
		}
		if a.Deaf {
			d.Doubtful = append(d.Doubtful, a.Keyword())
		}
		d.Transforms = append(d.Transforms, ScanTransform{Type: a.Type.String(), TypeID: uint8(a.Type), ID: a.ID, Name: a.Name(), KeyLength: a.Bits,
			Keyword: a.Keyword(), Chosen: a.Chosen, Confirmed: a.Confirmed(), Alone: a.Alone, Grade: g.Level.String(), Why: g.Why})
	}
	// By type, the best first.
	slices.SortStableFunc(d.Transforms, func(a, b ScanTransform) int {
		return cmp.Or(cmp.Compare(a.TypeID, b.TypeID), cmp.Compare(levels[a.Keyword], levels[b.Keyword]))
	})
	if worst > 0 {
		d.Worst = worst.String()
	}
	for i := range r.Questions {
		q := &r.Questions[i]
		one := ScanQuestion{Name: q.Name, Offer: q.Offer, NATTPort: q.Marked, Outcome: q.Outcome, Suite: q.Suite, Group: q.Group, Notifies: q.Notifies,
			Cookie: q.Cookie, NATLocal: q.NATLocal, NATRemote: q.NATRemote, Hashes: q.Hashes, Closed: q.Closed, RTT: duration(q.RTT), Requests: q.Requests}
		for _, v := range q.Vendors {
			one.Vendors = append(one.Vendors, hex.EncodeToString(v))
		}
		d.Questions = append(d.Questions, one)
	}
	return d
}

// duration gives a time span in seconds, "" for none.
func duration(d time.Duration) json.Number {
	if d == 0 {
		return ""
	}
	return decimal(d)
}

// Before gives what a scan can go on from.
func (d *Scan) Before() *scan.Result {
	r := &scan.Result{}
	for i := range d.Questions {
		q := &d.Questions[i]
		one := scan.Question{Name: q.Name, Offer: q.Offer, Marked: q.NATTPort, Outcome: q.Outcome, Suite: q.Suite, Group: q.Group, Notifies: q.Notifies,
			Cookie: q.Cookie, NATLocal: q.NATLocal, NATRemote: q.NATRemote, Hashes: q.Hashes, Closed: q.Closed, Requests: q.Requests}
		if s, err := q.RTT.Float64(); err == nil {
			one.RTT = time.Duration(s * float64(time.Second))
		}
		for _, v := range q.Vendors {
			if b, err := hex.DecodeString(v); err == nil {
				one.Vendors = append(one.Vendors, b)
			}
		}
		r.Questions = append(r.Questions, one)
	}
	return r
}
