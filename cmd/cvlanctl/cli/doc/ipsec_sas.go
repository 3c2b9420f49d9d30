package doc

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// LiveSAs is the document of `ipsec list-sas`: of the same schema as that of
// `pcap sas`.
type LiveSAs struct {
	Schema string      `json:"schema"`
	Source string      `json:"source"`
	Time   string      `json:"time"` // when the daemon was asked
	IKESAs []LiveIKESA `json:"ike_sas"`
	Down   []DownChild `json:"down"`
	// Findings above info about what is listed, the worst first.
	Findings []Worst `json:"findings,omitempty"`
}

// LiveIKESA is an IKE SA as a daemon tells it.
type LiveIKESA struct {
	Time string `json:"time"` // when the daemon told it
	IKESA
	DPD           LiveDPD     `json:"dpd"`
	Seen          *Seen       `json:"capture,omitempty"` // a daemon captures nothing
	Established   json.Number `json:"established,omitzero"`
	RemoteEAPID   string      `json:"remote_eap_id,omitempty"`
	RemoteXAuthID string      `json:"remote_xauth_id,omitempty"`
	IfIDIn        string      `json:"if_id_in,omitempty"`
	IfIDOut       string      `json:"if_id_out,omitempty"`
	PPK           *bool       `json:"ppk,omitempty"`
	LocalVIPs     []string    `json:"local_vips,omitempty"`
	RemoteVIPs    []string    `json:"remote_vips,omitempty"`
	TasksQueued   []string    `json:"tasks_queued,omitempty"`
	TasksActive   []string    `json:"tasks_active,omitempty"`
	TasksPassive  []string    `json:"tasks_passive,omitempty"`
	Waiting       string      `json:"waiting,omitempty"` // in words; of our own engine
	ChildSAs      []LiveChild `json:"child_sas"`
}

// LiveDPD is what is configured for liveness checks.
type LiveDPD struct {
	Delay json.Number `json:"delay,omitzero"`
}

// LiveChild is a CHILD SA as a daemon tells it.
type LiveChild struct {
	ChildSA
	UseIn       json.Number `json:"use_in,omitzero"`
	UseOut      json.Number `json:"use_out,omitzero"`
	InstallTime json.Number `json:"install_time,omitzero"`
	ReqID       *uint32     `json:"reqid,omitempty"`
	CPIIn       string      `json:"cpi_in,omitempty"`
	CPIOut      string      `json:"cpi_out,omitempty"`
	MarkIn      string      `json:"mark_in,omitempty"`
	MarkMaskIn  string      `json:"mark_mask_in,omitempty"`
	MarkOut     string      `json:"mark_out,omitempty"`
	MarkMaskOut string      `json:"mark_mask_out,omitempty"`
	IfIDIn      string      `json:"if_id_in,omitempty"`
	IfIDOut     string      `json:"if_id_out,omitempty"`
	PerCPUSAs   *bool       `json:"per_cpu_sas,omitempty"`
	CPU         *uint32     `json:"cpu,omitempty"`
	Label       string      `json:"label,omitempty"`
	Timers      []Timer     `json:"timers"`
}

// DownChild is a child that is configured and has no SA, or a connection
// without children that has none.
type DownChild struct {
	Connection string `json:"connection"`
	Child      string `json:"child,omitempty"`
	Past
}

// Wanted narrows a listing; nil is everything.
type Wanted func(connection, child string) bool

// NewLiveSAs makes the document of `ipsec list-sas`.
func NewLiveSAs(source string, s *backend.Snapshot, now time.Time, want Wanted) *LiveSAs {
	d := &LiveSAs{Schema: SAsSchema, Source: source, Time: stamp(s.At), IKESAs: []LiveIKESA{}, Down: []DownChild{}}
	delays := make(map[string]engine.Opt[time.Duration], len(s.Connections))
	for _, c := range s.Connections {
		delays[c.Name] = c.DPDDelay
	}
	for _, sa := range s.SAs {
		if want != nil && !want(sa.Name, "") {
			continue
		}
		x := NewLiveIKESA(sa, now)
		x.DPD.Delay = seconds(delays[sa.Name])
		if want != nil {
			kept := x.ChildSAs[:0]
			for i, c := range sa.Children {
				if want(sa.Name, c.Name) {
					kept = append(kept, x.ChildSAs[i])
				}
			}
			x.ChildSAs = kept
		}
		d.IKESAs = append(d.IKESAs, x)
	}
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		if want != nil && !want(t.Name, "") {
			continue
		}
		if len(t.Children) == 0 && len(t.SAs) == 0 {
			d.Down = append(d.Down, DownChild{t.Name, "", newPast(&t.Past)})
		}
		for j := range t.Children {
			c := &t.Children[j]
			if len(c.SAs) == 0 && (want == nil || want(t.Name, c.Name)) {
				d.Down = append(d.Down, DownChild{t.Name, c.Name, newPast(&c.Past)})
			}
		}
	}
	return d
}

// NewLiveIKESA makes the document of one IKE SA at a time.
func NewLiveIKESA(sa *engine.IKESA, now time.Time) LiveIKESA {
	d := LiveIKESA{
		Time: stamp(now), IKESA: newIKESA(&trace.IKESA{IKESA: *sa}, now), Established: whole(sa.Established, now),
		DPD: LiveDPD{seconds(sa.DPD.Delay)}, RemoteEAPID: sa.RemoteEAPID, RemoteXAuthID: sa.RemoteXAuthID,
		IfIDIn: hex32(sa.IfIDIn), IfIDOut: hex32(sa.IfIDOut), PPK: known(sa.PPK),
		LocalVIPs: sa.LocalVIPs, RemoteVIPs: sa.RemoteVIPs,
		TasksQueued: sa.TasksQueued, TasksActive: sa.TasksActive, TasksPassive: sa.TasksPassive, Waiting: sa.Waiting,
		ChildSAs: []LiveChild{},
	}
	for _, c := range sa.Children {
		d.ChildSAs = append(d.ChildSAs, newLiveChild(c, now))
	}
	return d
}

func newLiveChild(c *engine.ChildSA, now time.Time) LiveChild {
	d := LiveChild{
		ChildSA: newChildSA(c, now), UseIn: whole(c.LastIn, now), UseOut: whole(c.LastOut, now), InstallTime: whole(c.Installed, now),
		ReqID: known(c.ReqID), CPIIn: hex16(c.CPIIn), CPIOut: hex16(c.CPIOut),
		IfIDIn: hex32(c.IfIDIn), IfIDOut: hex32(c.IfIDOut), PerCPUSAs: known(c.PerCPU), CPU: known(c.CPU), Label: c.Label,
		Timers: []Timer{},
	}
	if m, ok := c.MarkIn.Get(); ok {
		d.MarkIn, d.MarkMaskIn = fmt.Sprintf("%08x", m.Value), fmt.Sprintf("%08x", m.Mask)
	}
	if m, ok := c.MarkOut.Get(); ok {
		d.MarkOut, d.MarkMaskOut = fmt.Sprintf("%08x", m.Value), fmt.Sprintf("%08x", m.Mask)
	}
	for _, t := range c.Timers {
		d.Timers = append(d.Timers, Timer{t.Name, stamp(t.Due)})
	}
	return d
}

func hex32(o engine.Opt[uint32]) string {
	v, ok := o.Get()
	if !ok {
		return ""
	}
	return fmt.Sprintf("%08x", v)
}

func hex16(o engine.Opt[uint16]) string {
	v, ok := o.Get()
	if !ok {
		return ""
	}
	return fmt.Sprintf("%04x", v)
}
