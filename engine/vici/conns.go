package vici

import (
	"context"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine"
)

// Connections lists what is configured.
func (c *Client) Connections(ctx context.Context) ([]*engine.Connection, error) {
	var all []*engine.Connection
	_, err := c.list(ctx, "list-conns", "list-conn", c.values(), func(s section) {
		s.each(func(name string, conn section) {
			one := connection(name, conn)
			if whole := (engine.Connection{}); exact(conn, &whole) && !slices.Contains(whole.Children, nil) {
				one = &whole
			}
			all = append(all, one)
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func connection(name string, s section) *engine.Connection {
	c := &engine.Connection{
		Name:        name,
		LocalAddrs:  s.list("local_addrs"),
		RemoteAddrs: s.list("remote_addrs"),
		LocalPort:   number[uint16](s, "local_port"),
		RemotePort:  number[uint16](s, "remote_port"),
		Version:     s.text("version"),
		RekeyTime:   s.seconds("rekey_time"),
		ReauthTime:  s.seconds("reauth_time"),
		DPDDelay:    s.seconds("dpd_delay"),
		DPDTimeout:  s.seconds("dpd_timeout"),
		Unique:      s.text("unique"),
		PPKID:       s.text("ppk_id"),
	}
	if v := s.text("ppk_required"); v != "" {
		c.PPKRequired = engine.Some(v == "yes")
	}
	s.each(func(key string, sub section) {
		switch {
		case key == "children":
			sub.each(func(name string, child section) { c.Children = append(c.Children, childConfig(name, child)) })
		case strings.HasPrefix(key, "local"):
			c.Local = append(c.Local, authRound(sub))
		case strings.HasPrefix(key, "remote"):
			c.Remote = append(c.Remote, authRound(sub))
		}
	})
	return c
}

func authRound(s section) engine.AuthRound {
	return engine.AuthRound{
		Class:      s.text("class"),
		EAPType:    s.text("eap-type"),
		EAPVendor:  s.text("eap-vendor"),
		XAuth:      s.text("xauth"),
		Revocation: s.text("revocation"),
		ID:         s.text("id"),
		AAAID:      s.text("aaa_id"),
		EAPID:      s.text("eap_id"),
		XAuthID:    s.text("xauth_id"),
		CAID:       s.text("ca_id"),
		Groups:     s.list("groups"),
		Certs:      s.list("certs"),
		CACerts:    s.list("cacerts"),
		Policies:   s.list("cert_policy"),
	}
}

func childConfig(name string, s section) *engine.ChildConfig {
	return &engine.ChildConfig{
		Name:         name,
		Mode:         s.text("mode"),
		Label:        s.text("label"),
		RekeyTime:    s.seconds("rekey_time"),
		RekeyBytes:   number[uint64](s, "rekey_bytes"),
		RekeyPackets: number[uint64](s, "rekey_packets"),
		LocalTS:      s.list("local-ts"),
		RemoteTS:     s.list("remote-ts"),
		DPDAction:    s.text("dpd_action"),
		CloseAction:  s.text("close_action"),
		Interface:    s.text("interface"),
		Priority:     number[uint32](s, "priority"),
	}
}
