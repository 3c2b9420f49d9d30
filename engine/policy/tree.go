package policy

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// Tree is a policy as strongSwan's settings: what swanctl.conf holds. Swanctl
// writes it as text and VICI as requests, so that the two cannot differ.
// Values of cacert, cacerts and certs are paths; the requests hold what the
// files hold.
type Tree struct {
	Connections []Named
	Authorities []Named
	Pools       []Named
	Secrets     []Credential
	Keys        []SecretRef // private keys of this node, each once
	Notes       []string    // what strongSwan cannot be told, for the reader
}

// Named is one section with its name.
type Named struct {
	Name     string
	Settings *backend.Section
}

// NewTree makes the settings of a policy.
func NewTree(p *Policy) *Tree {
	t := &Tree{}
	for i := range p.Authorities {
		t.Authorities = append(t.Authorities, authorityTree(&p.Authorities[i]))
	}
	for i := range p.Pools {
		t.Pools = append(t.Pools, poolTree(&p.Pools[i]))
	}
	seen := map[string]bool{}
	patience := map[string]bool{}
	for i := range p.Connections {
		c := &p.Connections[i]
		t.Connections = append(t.Connections, connectionTree(c))
		t.Secrets = append(t.Secrets, c.Credentials...)
		if k := c.Local.Key; !k.IsZero() {
			id := fmt.Sprintf("%q", append([]string{k.File, k.Env}, k.Command...))
			if !seen[id] {
				seen[id] = true
				t.Keys = append(t.Keys, k)
			}
		}
		if c.DPD.Interval > 0 {
			note := fmt.Sprintf("IKEv2 takes the time for an answer to DPD from strongswan.conf, for all peers alike: the policy's %s with %d retries are charon.retransmit_timeout = %d, charon.retransmit_base = 1, charon.retransmit_tries = %d.",
				formatDuration(c.DPD.Timeout), c.DPD.Retries, c.DPD.Timeout/time.Second, c.DPD.Retries)
			if !patience[note] {
				patience[note] = true
				t.Notes = append(t.Notes, note)
			}
		}
		if c.NAT == "off" {
			t.Notes = append(t.Notes, fmt.Sprintf("Connection %s: strongSwan always looks for NATs; nat: off has no effect here.", c.Name))
		}
	}
	return t
}

func authorityTree(a *Authority) Named {
	s := &backend.Section{}
	s.Set("cacert", a.Certificate)
	if len(a.CRL) > 0 {
		s.SetList("crl_uris", a.CRL...)
	}
	if len(a.OCSP) > 0 {
		s.SetList("ocsp_uris", a.OCSP...)
	}
	return Named{a.Name, s}
}

func poolTree(p *Pool) Named {
	s := &backend.Section{}
	s.Set("addrs", p.Range.String())
	if len(p.DNS) > 0 {
		s.SetList("dns", written(p.DNS)...)
	}
	if len(p.Subnets) > 0 {
		s.SetList("split_include", written(p.Subnets)...)
	}
	return Named{p.Name, s}
}

// written writes each value of a list.
func written[T fmt.Stringer](list []T) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = v.String()
	}
	return all
}

func proposalTexts(list []Proposal) []string {
	all := make([]string, len(list))
	for i := range list {
		all[i] = list[i].Text
	}
	return all
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

func yes(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func connectionTree(c *Connection) Named {
	s := &backend.Section{}
	s.Set("version", "2")
	s.SetList("local_addrs", written(c.LocalAddrs)...)
	s.SetList("remote_addrs", written(c.RemoteAddrs)...)
	if c.RemotePort != 0 {
		s.Set("remote_port", strconv.Itoa(int(c.RemotePort)))
	}
	s.SetList("proposals", proposalTexts(c.Proposals)...)
	s.Set("rekey_time", seconds(c.Rekey))
	s.Set("reauth_time", seconds(c.Reauth))
	// strongSwan counts the hard limit from the soft one, and has no way to say
	// that there is none: then its own 10 % stay.
	if over := c.Hard - max(c.Rekey, c.Reauth); over > 0 {
		s.Set("over_time", seconds(over))
	}
	s.Set("rand_time", seconds(c.Jitter))
	s.Set("unique", c.Unique)
	s.Set("fragmentation", c.Fragmentation)
	s.Set("mobike", yes(c.MOBIKE))
	s.Set("encap", yes(c.NAT == "force"))
	s.Set("dpd_delay", seconds(c.DPD.Interval))
	if c.DPD.Interval > 0 {
		s.Set("dpd_timeout", seconds(c.DPD.Timeout*time.Duration(c.DPD.Retries)))
	}
	if len(c.VirtualAddrs) > 0 {
		s.SetList("vips", written(c.VirtualAddrs)...)
	}
	if len(c.Pools) > 0 {
		s.SetList("pools", c.Pools...)
	}
	authTree(s.Sub("local"), &c.Local, false)
	authTree(s.Sub("remote"), &c.Remote, true)
	if len(c.Children) > 0 {
		children := s.Sub("children")
		for i := range c.Children {
			childTree(children.Sub(c.Children[i].Name), &c.Children[i], c.DPD.Action)
		}
	}
	return Named{c.Name, s}
}

func authTree(s *backend.Section, a *Auth, remote bool) {
	s.Set("auth", string(a.Method))
	if a.ID != "" {
		s.Set("id", a.ID)
	}
	if a.Method.EAP() {
		switch {
		case a.EAPID != "":
			s.Set("eap_id", a.EAPID)
		case remote:
			s.Set("eap_id", "%any")
		}
	}
	if a.Certificate != "" {
		s.SetList("certs", a.Certificate)
	}
	if len(a.Authorities) > 0 {
		s.SetList("cacerts", a.Authorities...)
	}
	if remote && a.Revocation != "" {
		s.Set("revocation", a.Revocation)
	}
}

func childTree(s *backend.Section, c *Child, dpd string) {
	s.SetList("local_ts", written(c.Local)...)
	s.SetList("remote_ts", written(c.Remote)...)
	s.SetList("esp_proposals", proposalTexts(c.Proposals)...)
	mode := "tunnel"
	if c.Transport {
		mode = "transport"
	}
	s.Set("mode", mode)
	s.Set("start_action", c.Start)
	s.Set("dpd_action", dpd)
	if c.Close != "none" {
		s.Set("close_action", c.Close)
	}
	s.Set("rekey_time", seconds(c.Time.Rekey))
	s.Set("life_time", seconds(c.Time.Hard))
	s.Set("rand_time", seconds(c.Time.Jitter))
	limitTree(s, "bytes", c.Octets)
	limitTree(s, "packets", c.Packets)
}

func limitTree(s *backend.Section, what string, l Limits[uint64]) {
	if l == (Limits[uint64]{}) {
		return
	}
	s.Set("rekey_"+what, strconv.FormatUint(l.Rekey, 10))
	s.Set("life_"+what, strconv.FormatUint(l.Hard, 10))
	s.Set("rand_"+what, strconv.FormatUint(l.Jitter, 10))
}
