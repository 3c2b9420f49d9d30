package doc

import (
	"encoding/json"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// Conns is the document of `ipsec list-conns`.
type Conns struct {
	Schema      string       `json:"schema"`
	Source      string       `json:"source"`
	Time        string       `json:"time"`
	Connections []Connection `json:"connections"`
}

// Connection is a configured connection; names are VICI's with _ for -.
type Connection struct {
	Name        string      `json:"name"`
	Configured  bool        `json:"configured"` // false: SAs of it live on, its configuration is gone
	Up          bool        `json:"up"`
	IKESAs      []uint32    `json:"ike_sas"` // unique ids
	LocalAddrs  []string    `json:"local_addrs,omitempty"`
	RemoteAddrs []string    `json:"remote_addrs,omitempty"`
	LocalPort   *uint16     `json:"local_port,omitempty"`
	RemotePort  *uint16     `json:"remote_port,omitempty"`
	Version     string      `json:"version,omitempty"`
	Proposals   []string    `json:"proposals,omitempty"`
	RekeyTime   json.Number `json:"rekey_time,omitzero"`
	ReauthTime  json.Number `json:"reauth_time,omitzero"`
	OverTime    json.Number `json:"over_time,omitzero"`
	DPDDelay    json.Number `json:"dpd_delay,omitzero"`
	DPDTimeout  json.Number `json:"dpd_timeout,omitzero"`
	Unique      string      `json:"unique,omitempty"`
	PPKID       string      `json:"ppk_id,omitempty"`
	PPKRequired *bool       `json:"ppk_required,omitempty"`
	Local       []AuthRound `json:"local,omitempty"`
	Remote      []AuthRound `json:"remote,omitempty"`
	Past
	Children []ConnChild `json:"children"`
}

// AuthRound is one round of authentication of one side.
type AuthRound struct {
	Class        string   `json:"class,omitempty"`
	EAPType      string   `json:"eap_type,omitempty"`
	EAPVendor    string   `json:"eap_vendor,omitempty"`
	XAuth        string   `json:"xauth,omitempty"`
	Revocation   string   `json:"revocation,omitempty"`
	ID           string   `json:"id,omitempty"`
	AAAID        string   `json:"aaa_id,omitempty"`
	EAPID        string   `json:"eap_id,omitempty"`
	XAuthID      string   `json:"xauth_id,omitempty"`
	CAID         string   `json:"ca_id,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	Certs        []string `json:"certs,omitempty"`
	CACerts      []string `json:"cacerts,omitempty"`
	CertPolicies []string `json:"cert_policy,omitempty"`
}

// ConnChild is a configured child.
type ConnChild struct {
	Name         string      `json:"name"`
	Configured   bool        `json:"configured"`
	Up           bool        `json:"up"`
	ChildSAs     []uint32    `json:"child_sas"` // unique ids
	Mode         string      `json:"mode,omitempty"`
	Label        string      `json:"label,omitempty"`
	RekeyTime    json.Number `json:"rekey_time,omitzero"`
	RekeyBytes   *uint64     `json:"rekey_bytes,omitempty"`
	RekeyPackets *uint64     `json:"rekey_packets,omitempty"`
	LocalTS      []string    `json:"local_ts,omitempty"`
	RemoteTS     []string    `json:"remote_ts,omitempty"`
	Proposals    []string    `json:"proposals,omitempty"`
	DPDAction    string      `json:"dpd_action,omitempty"`
	CloseAction  string      `json:"close_action,omitempty"`
	StartAction  string      `json:"start_action,omitempty"`
	Interface    string      `json:"interface,omitempty"`
	Priority     *uint32     `json:"priority,omitempty"`
	Past
}

// NewConns makes the document of `ipsec list-conns`.
func NewConns(source string, s *backend.Snapshot) *Conns {
	d := &Conns{Schema: ConnsSchema, Source: source, Time: stamp(s.At), Connections: []Connection{}}
	for i := range s.Tunnels {
		d.Connections = append(d.Connections, newConnection(&s.Tunnels[i]))
	}
	return d
}

func newConnection(t *backend.Tunnel) Connection {
	d := Connection{Name: t.Name, Configured: t.Connection != nil, Up: t.Up(), IKESAs: []uint32{}, Past: newPast(&t.Past), Children: []ConnChild{}}
	for _, sa := range t.SAs {
		d.IKESAs = append(d.IKESAs, sa.UniqueID)
	}
	if c := t.Connection; c != nil {
		d.LocalAddrs, d.RemoteAddrs, d.LocalPort, d.RemotePort = c.LocalAddrs, c.RemoteAddrs, known(c.LocalPort), known(c.RemotePort)
		d.Version, d.Proposals, d.Unique, d.PPKID, d.PPKRequired = c.Version, c.Proposals, c.Unique, c.PPKID, known(c.PPKRequired)
		d.RekeyTime, d.ReauthTime, d.OverTime = seconds(c.RekeyTime), seconds(c.ReauthTime), seconds(c.OverTime)
		d.DPDDelay, d.DPDTimeout = seconds(c.DPDDelay), seconds(c.DPDTimeout)
		d.Local, d.Remote = authRounds(c.Local), authRounds(c.Remote)
	}
	for i := range t.Children {
		d.Children = append(d.Children, newConnChild(&t.Children[i]))
	}
	return d
}

func authRounds(rounds []engine.AuthRound) []AuthRound {
	var d []AuthRound
	for _, r := range rounds {
		d = append(d, AuthRound{
			Class: r.Class, EAPType: r.EAPType, EAPVendor: r.EAPVendor, XAuth: r.XAuth, Revocation: r.Revocation,
			ID: r.ID, AAAID: r.AAAID, EAPID: r.EAPID, XAuthID: r.XAuthID, CAID: r.CAID,
			Groups: r.Groups, Certs: r.Certs, CACerts: r.CACerts, CertPolicies: r.Policies,
		})
	}
	return d
}

func newConnChild(c *backend.Child) ConnChild {
	d := ConnChild{Name: c.Name, Configured: c.Config != nil, Up: c.Up(), ChildSAs: []uint32{}, Past: newPast(&c.Past)}
	for _, sa := range c.SAs {
		d.ChildSAs = append(d.ChildSAs, sa.UniqueID)
	}
	if g := c.Config; g != nil {
		d.Mode, d.Label, d.LocalTS, d.RemoteTS, d.Proposals = g.Mode, g.Label, g.LocalTS, g.RemoteTS, g.Proposals
		d.RekeyTime, d.RekeyBytes, d.RekeyPackets = seconds(g.RekeyTime), known(g.RekeyBytes), known(g.RekeyPackets)
		d.DPDAction, d.CloseAction, d.StartAction, d.Interface, d.Priority = g.DPDAction, g.CloseAction, g.StartAction, g.Interface, known(g.Priority)
	}
	return d
}
