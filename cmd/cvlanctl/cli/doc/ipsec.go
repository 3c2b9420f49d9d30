package doc

import (
	"encoding/json"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// The kinds of document about a daemon; its SAs are a SAsSchema, as those of a
// capture are.
const (
	StatusSchema   = "cvlanctl/status/v1"
	ConnsSchema    = "cvlanctl/conns/v1"
	CertsSchema    = "cvlanctl/certs/v1"
	PoolsSchema    = "cvlanctl/pools/v1"
	AlgsSchema     = "cvlanctl/algs/v1"
	CountersSchema = "cvlanctl/counters/v1"
	StatsSchema    = "cvlanctl/stats/v1"
	ActionSchema   = "cvlanctl/action/v1"
	EventsSchema   = "cvlanctl/events/v1"
	DaemonSchema   = "cvlanctl/daemon/v1"
)

// DaemonVersion says what a daemon is.
type DaemonVersion struct {
	Daemon  string `json:"daemon,omitempty"`
	Version string `json:"version,omitempty"`
	SysName string `json:"sysname,omitempty"`
	Release string `json:"release,omitempty"`
	Machine string `json:"machine,omitempty"`
}

// NewDaemonVersion makes it.
func NewDaemonVersion(v engine.Version) DaemonVersion { return DaemonVersion(v) }

// Past is what is known of a connection or child beyond its SAs of now. A
// daemon tells nothing of its past: it is known as far as this program, or a
// log that it read, has seen it.
type Past struct {
	UpSince  string   `json:"up_since,omitempty"`
	LastUp   string   `json:"last_up,omitempty"`
	LastDown string   `json:"last_down,omitempty"`
	Failure  *Failure `json:"last_failure,omitempty"`
}

// Failure is how something failed, as a log tells it.
type Failure struct {
	Time   string            `json:"time,omitempty"`
	Kind   string            `json:"kind"`
	Text   string            `json:"text"`
	Notify string            `json:"notify,omitempty"`
	By     string            `json:"by"` // local or remote: which side refused, or did not answer
	Child  string            `json:"child,omitempty"`
	Count  int               `json:"count,omitempty"` // consecutive ones
	Detail map[string]string `json:"detail,omitempty"`
}

func newPast(p *backend.Past) Past {
	d := Past{UpSince: stamp(p.UpSince), LastUp: stamp(p.LastUp), LastDown: stamp(p.LastDown)}
	if f := p.Failure; f != nil {
		d.Failure = &Failure{Time: stamp(f.At), Kind: f.Kind, Text: f.Text, Notify: f.Notify, By: sideOf(f.Local), Count: f.Count}
	}
	return d
}

func sideOf(local bool) string {
	if local {
		return "local"
	}
	return "remote"
}

// Status is the document of `ipsec status`.
type Status struct {
	Schema      string        `json:"schema"`
	Source      string        `json:"source"`
	Time        string        `json:"time"`
	Watched     string        `json:"watched_since,omitempty"` // what Past knows begins there
	Daemon      DaemonVersion `json:"daemon"`
	Since       string        `json:"since,omitempty"` // the daemon's start
	IKESAs      *int          `json:"ike_sas,omitempty"`
	HalfOpen    *int          `json:"half_open,omitempty"`
	Connections Tally         `json:"connections"`
	Children    Tally         `json:"children"`
	Tunnels     []TunnelState `json:"tunnels"`
	Finding     *Worst        `json:"worst_finding,omitempty"`
}

// Tally counts what is configured and what of it is up.
type Tally struct {
	Configured int `json:"configured"`
	Up         int `json:"up"`
}

// Worst is the worst finding in short.
type Worst struct {
	ID         string `json:"id"`
	Severity   string `json:"severity"`
	Summary    string `json:"summary"`
	Connection string `json:"connection,omitempty"`
}

// TunnelState says how a connection stands.
type TunnelState struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"`
	Up         bool   `json:"up"`
	State      string `json:"state"` // of its newest IKE SA, or DOWN
	RemoteHost string `json:"remote_host,omitempty"`
	RemoteID   string `json:"remote_id,omitempty"`
	Past
	Children []ChildStatus `json:"children"`
}

// ChildStatus says how a child stands.
type ChildStatus struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"`
	Up         bool   `json:"up"`
	State      string `json:"state"` // of its newest CHILD SA, or DOWN
	Past
}

// NewStatus makes the document of `ipsec status`.
func NewStatus(source string, s *backend.Snapshot, stats *engine.Stats, worst *Worst) *Status {
	d := &Status{
		Schema: StatusSchema, Source: source, Time: stamp(s.At), Watched: stamp(s.Watched), Daemon: NewDaemonVersion(s.Version),
		Since: stamp(stats.Since), IKESAs: known(stats.IKESAs), HalfOpen: known(stats.HalfOpen),
		Tunnels: []TunnelState{}, Finding: worst,
	}
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		x := TunnelState{
			Name: t.Name, Configured: t.Connection != nil, Up: t.Up(), State: tunnelState(t), Past: newPast(&t.Past), Children: []ChildStatus{},
		}
		if n := len(t.SAs); n > 0 {
			x.RemoteHost, x.RemoteID = host(t.SAs[n-1].Remote.Host), t.SAs[n-1].Remote.ID
		}
		d.Connections.add(x.Configured, x.Up)
		for j := range t.Children {
			c := &t.Children[j]
			y := ChildStatus{Name: c.Name, Configured: c.Config != nil, Up: c.Up(), State: childState(c), Past: newPast(&c.Past)}
			d.Children.add(y.Configured, y.Up)
			x.Children = append(x.Children, y)
		}
		d.Tunnels = append(d.Tunnels, x)
	}
	return d
}

// add counts one; what is up and not configured counts as neither.
func (t *Tally) add(configured, up bool) {
	if !configured {
		return
	}
	t.Configured++
	if up {
		t.Up++
	}
}

// Down is the state of what has no SA.
const Down = "DOWN"

func tunnelState(t *backend.Tunnel) string {
	if n := len(t.SAs); n > 0 {
		return string(t.SAs[n-1].State)
	}
	return Down
}

func childState(c *backend.Child) string {
	if n := len(c.SAs); n > 0 {
		return string(c.SAs[n-1].State)
	}
	return Down
}

// whole gives the time from then to now in whole seconds, which is how exactly
// a daemon tells it; "" where not known.
func whole(then, now time.Time) json.Number {
	if then.IsZero() || now.IsZero() {
		return ""
	}
	return decimal(max(now.Sub(then), 0).Truncate(time.Second))
}
