package serve

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// seconds adds a time in whole seconds; one that is not known is 0, strongSwan's
// never.
func (m *entries) seconds(name string, d engine.Opt[time.Duration]) {
	m.number(name, uint64(max(d.Or(0), 0)/time.Second))
}

// addresses adds a list of addresses; none is any.
func (m *entries) addresses(name string, list []string) {
	if len(list) == 0 {
		list = []string{"%any"}
	}
	m.list(name, list)
}

func connection(c *engine.Connection) []packet.Element {
	var m entries
	m.addresses("local_addrs", c.LocalAddrs)
	m.addresses("remote_addrs", c.RemoteAddrs)
	m.number("local_port", uint64(c.LocalPort.Or(500)))
	m.number("remote_port", uint64(c.RemotePort.Or(500)))
	m.text("version", c.Version)
	m.seconds("reauth_time", c.ReauthTime)
	m.seconds("rekey_time", c.RekeyTime)
	m.text("unique", c.Unique)
	if c.DPDDelay.Or(0) > 0 {
		m.seconds("dpd_delay", c.DPDDelay)
	}
	if c.DPDTimeout.Or(0) > 0 {
		m.seconds("dpd_timeout", c.DPDTimeout)
	}
	m.text("ppk_id", c.PPKID)
	m.condition("ppk_required", c.PPKRequired)
	for i := range c.Local {
		m = append(m, packet.Sub(fmt.Sprintf("local-%d", i+1), round(&c.Local[i])...))
	}
	for i := range c.Remote {
		m = append(m, packet.Sub(fmt.Sprintf("remote-%d", i+1), round(&c.Remote[i])...))
	}
	children := packet.Sub("children")
	for _, child := range c.Children {
		children.Section = append(children.Section, packet.Sub(child.Name, childConfig(child)...))
	}
	return append(m, children)
}

func round(a *engine.AuthRound) []packet.Element {
	var m entries
	m.text("class", a.Class)
	m.text("eap-type", a.EAPType)
	m.text("eap-vendor", a.EAPVendor)
	m.text("xauth", a.XAuth)
	m.text("revocation", a.Revocation)
	m.text("id", a.ID)
	m.text("ca_id", a.CAID)
	m.text("aaa_id", a.AAAID)
	m.text("eap_id", a.EAPID)
	m.text("xauth_id", a.XAuthID)
	return append(m, packet.List("groups", a.Groups...), packet.List("cert_policy", a.Policies...),
		packet.List("certs", a.Certs...), packet.List("cacerts", a.CACerts...))
}

// action gives an action by the name that strongSwan lists it with.
func action(s string) string {
	switch s {
	case "", "clear":
		return "none"
	case "restart":
		return "start"
	case "hold", "route":
		return "trap"
	}
	return s
}

func childConfig(c *engine.ChildConfig) []packet.Element {
	var m entries
	m.text("mode", c.Mode)
	m.text("label", c.Label)
	m.seconds("rekey_time", c.RekeyTime)
	m.number("rekey_bytes", c.RekeyBytes.Or(0))
	m.number("rekey_packets", c.RekeyPackets.Or(0))
	m.text("dpd_action", action(c.DPDAction))
	m.text("close_action", action(c.CloseAction))
	m = append(m, packet.List("local-ts", c.LocalTS...), packet.List("remote-ts", c.RemoteTS...))
	m.text("interface", c.Interface)
	decimal(&m, "priority", c.Priority)
	return m
}

func listConns(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Connections(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if r.text("ike") != "" && r.text("ike") != c.Name {
			continue
		}
		section, err := r.exactly(connection(c), c)
		if err != nil {
			return nil, err
		}
		if err := r.raise("list-conn", packet.Sub(c.Name, section...)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func getConns(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Connections(ctx)
	if err != nil {
		return nil, err
	}
	names := packet.List("conns")
	for _, c := range list {
		if c.Loaded.Or(true) { // swanctl unloads what it did not load
			names.List = append(names.List, c.Name)
		}
	}
	return []packet.Element{names}, nil
}
