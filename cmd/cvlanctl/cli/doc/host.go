package doc

import (
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
)

// HostSchema is of a document that stands in a bundle only.
const HostSchema = "cvlanctl/host/v1"

// PoliciesSchema is of `ipsec list-pols`.
const PoliciesSchema = "cvlanctl/policies/v1"

// Policies is what a daemon has installed beside its SAs.
type Policies struct {
	Schema   string   `json:"schema"`
	Source   string   `json:"source"`
	Time     string   `json:"time"`
	Policies []Policy `json:"policies"`
}

// Policy is one trap, pass or drop policy of a daemon.
type Policy struct {
	Connection string   `json:"connection,omitempty"`
	Child      string   `json:"child"`
	Mode       string   `json:"mode"`
	Label      string   `json:"label,omitempty"`
	LocalTS    []string `json:"local_ts"`
	RemoteTS   []string `json:"remote_ts"`
}

// NewPolicies makes it.
func NewPolicies(source string, all []engine.Policy, now time.Time) *Policies {
	d := &Policies{Schema: PoliciesSchema, Source: source, Time: stamp(now), Policies: []Policy{}}
	for _, p := range all {
		d.Policies = append(d.Policies, Policy{p.Connection, p.Child, p.Mode, p.Label, append([]string{}, p.LocalTS...), append([]string{}, p.RemoteTS...)})
	}
	return d
}

// Host is what was seen of the host that a daemon runs on. A list that is
// absent could not be seen: unseen says why. No key stands in it.
type Host struct {
	Schema       string            `json:"schema"`
	Time         string            `json:"time"`
	Namespace    string            `json:"namespace,omitempty"`
	Sysctls      map[string]string `json:"sysctls,omitempty"`
	Interfaces   []HostInterface   `json:"interfaces,omitempty"`
	Routes       []HostRoute       `json:"routes,omitempty"`
	Policies     []HostPolicy      `json:"xfrm_policies,omitempty"`
	States       []HostState       `json:"xfrm_states,omitempty"`
	XfrmStat     map[string]uint64 `json:"xfrm_stat,omitempty"`
	XfrmGrowth   map[string]uint64 `json:"xfrm_growth,omitempty"`
	Sockets      []string          `json:"sockets,omitempty"` // address and port, "[::]:500"
	Chains       []HostChain       `json:"chains,omitempty"`
	Cores        []HostCore        `json:"cores,omitempty"`
	Clock        *HostClock        `json:"clock,omitempty"`
	Certificates []HostCertificate `json:"certificates,omitempty"`
	Notes        []string          `json:"notes,omitempty"`
	Unseen       []HostUnseen      `json:"unseen,omitempty"`
}

// HostInterface is a network interface.
type HostInterface struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind,omitempty"`
	MTU      int      `json:"mtu"`
	Up       bool     `json:"up"`
	IfID     uint32   `json:"if_id,omitempty"`
	RPFilter int      `json:"rp_filter"`
	Prefixes []string `json:"prefixes,omitempty"`
}

// HostRoute is a route of any table.
type HostRoute struct {
	Table   int    `json:"table"`
	Dst     string `json:"dst"`
	Gateway string `json:"gateway,omitempty"`
	Dev     string `json:"dev,omitempty"`
	Type    string `json:"type"`
}

// HostPolicy is an XFRM policy.
type HostPolicy struct {
	Dir      string `json:"dir"`
	Src      string `json:"src"`
	Dst      string `json:"dst"`
	Block    bool   `json:"block,omitempty"`
	IfID     uint32 `json:"if_id,omitempty"`
	Reqid    int    `json:"reqid,omitempty"`
	Priority int    `json:"priority"`
	Tunnel   bool   `json:"tunnel"`
}

// HostState is an XFRM state without its keys.
type HostState struct {
	Src          string `json:"src"`
	Dst          string `json:"dst"`
	SPI          string `json:"spi"`
	Proto        string `json:"proto"`
	Reqid        int    `json:"reqid,omitempty"`
	IfID         uint32 `json:"if_id,omitempty"`
	Encap        bool   `json:"encap"`
	ReplayWindow int    `json:"replay_window"`
	Bytes        uint64 `json:"bytes"`
	Packets      uint64 `json:"packets"`
}

// HostChain is a chain of the firewall.
type HostChain struct {
	Table  string   `json:"table"`
	Name   string   `json:"name"`
	Hook   string   `json:"hook"`
	Policy string   `json:"policy,omitempty"`
	Rules  []string `json:"rules"`
}

// HostCore is how busy a core was, in shares from 0 to 1.
type HostCore struct {
	Number  int     `json:"number"`
	Busy    float64 `json:"busy"`
	Packets float64 `json:"packets"`
}

// HostClock is what the kernel says of its clock.
type HostClock struct {
	Synchronised bool    `json:"synchronised"`
	MaxError     float64 `json:"max_error"` // seconds
	Past         string  `json:"past,omitempty"`
	PastFile     string  `json:"past_file,omitempty"`
}

// HostCertificate is a certificate file.
type HostCertificate struct {
	Path      string `json:"path"`
	Subject   string `json:"subject,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	NotBefore string `json:"not_before,omitempty"`
	NotAfter  string `json:"not_after,omitempty"`
	CA        bool   `json:"ca"`
	HasKey    bool   `json:"has_key"`
	Issued    bool   `json:"issued"`
	Problem   string `json:"problem,omitempty"`
}

// HostUnseen is what could not be looked at.
type HostUnseen struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// NewHost makes it.
func NewHost(h *diag.HostFacts) *Host {
	d := &Host{Schema: HostSchema, Time: stamp(h.At), Namespace: h.Namespace, Sysctls: h.Sysctls, XfrmStat: h.XfrmStat, XfrmGrowth: h.XfrmGrowth, Notes: h.Notes}
	for _, i := range h.Interfaces {
		d.Interfaces = append(d.Interfaces, HostInterface{i.Name, i.Kind, i.MTU, i.Up, i.IfID, i.RPFilter, prefixTexts(i.Prefixes)})
	}
	for _, r := range h.Routes {
		gateway := ""
		if r.Gateway.IsValid() {
			gateway = r.Gateway.String()
		}
		d.Routes = append(d.Routes, HostRoute{r.Table, r.Dst.String(), gateway, r.Dev, r.Type})
	}
	for _, p := range h.Policies {
		d.Policies = append(d.Policies, HostPolicy{p.Dir, p.Src.String(), p.Dst.String(), p.Block, p.IfID, p.Reqid, p.Priority, p.Tunnel})
	}
	for _, s := range h.States {
		d.States = append(d.States, HostState{s.Src.String(), s.Dst.String(), s.SPI.String(), s.Proto, s.Reqid, s.IfID, s.Encap, s.ReplayWindow, s.Bytes, s.Packets})
	}
	for _, s := range h.Sockets {
		d.Sockets = append(d.Sockets, s.Addr.String())
	}
	for i := range h.Chains {
		c := &h.Chains[i]
		x := HostChain{Table: c.Table, Name: c.Name, Hook: c.Hook, Policy: c.Policy, Rules: []string{}}
		for j := range c.Rules {
			x.Rules = append(x.Rules, c.Rules[j].Text)
		}
		d.Chains = append(d.Chains, x)
	}
	for _, c := range h.Cores {
		d.Cores = append(d.Cores, HostCore(c))
	}
	if c := h.Clock; c != nil {
		d.Clock = &HostClock{c.Synchronised, c.MaxError.Seconds(), stamp(c.Past), c.PastFile}
	}
	for _, c := range h.Certificates {
		d.Certificates = append(d.Certificates, HostCertificate{c.Path, c.Subject, c.Issuer, stamp(c.NotBefore), stamp(c.NotAfter), c.CA, c.HasKey, c.Issued, c.Problem})
	}
	for _, u := range h.Unseen {
		d.Unseen = append(d.Unseen, HostUnseen(u))
	}
	return d
}

func prefixTexts(l []netip.Prefix) []string {
	var words []string
	for _, p := range l {
		words = append(words, p.String())
	}
	return words
}
