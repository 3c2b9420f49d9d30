package policy

import (
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// harmlessConnection are settings of a connection without which our engine does,
// and the values that ask for nothing of it.
var harmlessConnection = map[string]string{
	"version": "0 2", "aggressive": "*", "pull": "*", "dscp": "0 000000", "dpd_timeout": "*", "send_certreq": "yes true 1",
	"send_cert": "ifasked always", "ocsp": "reply both request never", "keyingtries": "*", "childless": "allow never",
	"ppk_required": "no", "if_id_in": "0", "if_id_out": "0", "mediation": "no", "local_port": "*",
}

// harmlessChild are the same of a child.
var harmlessChild = map[string]string{
	"updown": "", "hostaccess": "*", "policies": "yes true 1", "policies_fwd_out": "no", "replay_window": "*",
	"ipcomp": "no false 0", "inactivity": "0 0s", "reqid": "0", "mark_in": "0", "mark_in_sa": "no", "mark_out": "0", "set_mark_in": "0", "set_mark_out": "0",
	"tfc_padding": "0", "priority": "0", "interface": "", "hw_offload": "no auto", "sha256_96": "no", "copy_df": "*", "copy_ecn": "*", "copy_dscp": "*",
	"icmp": "*", "if_id_in": "0", "if_id_out": "0", "label": "", "label_mode": "system", "per_cpu_sas": "no", "ah_proposals": "",
}

// harmlessAuth are the same of a round of authentication.
var harmlessAuth = map[string]string{
	"groups": "", "cert_policy": "", "pubkeys": "", "aaa_id": "%any", "xauth_id": "%any", "ca_id": "", "round": "0 1",
}

func (r *sectionReader) connection(name string, s *backend.Section) (*Connection, *Certificates) {
	c := &Connection{Name: name, Rekey: defaultIKERekey, Unique: "no", Fragmentation: "yes", MOBIKE: true, NAT: "auto",
		Local:  Auth{Method: Pubkey},
		Remote: Auth{Method: Pubkey, Revocation: "relaxed"},
		DPD:    DPD{Timeout: defaultWait, Retries: defaultRetries, Action: "clear"}}
	certs := &Certificates{}
	var over, jitter time.Duration
	var hasOver, hasJitter, encap bool
	proposals := proposalsInto(&c.Proposals, wire.ProtocolIKE, anyIKE)
	proposals(r, &backend.Item{Name: "proposals"})
	var local, remote int
	actions := map[string]bool{}
	r.read(s, map[string]readSetting{
		"local_addrs": parsedInto(&c.LocalAddrs, parseAddress), "remote_addrs": parsedInto(&c.RemoteAddrs, parseAddress),
		"remote_port": portInto(&c.RemotePort), "proposals": proposals,
		"rekey_time": timeInto(&c.Rekey, nil), "reauth_time": timeInto(&c.Reauth, nil),
		"over_time": timeInto(&over, &hasOver), "rand_time": timeInto(&jitter, &hasJitter),
		"unique": choiceInto(&c.Unique, "no never keep replace"), "fragmentation": choiceInto(&c.Fragmentation, "yes accept force no"),
		"mobike": yesInto(&c.MOBIKE), "encap": yesInto(&encap), "dpd_delay": timeInto(&c.DPD.Interval, nil),
		"vips": parsedInto(&c.VirtualAddrs, parseWanted), "pools": parsedInto(&c.Pools, func(s string) (string, error) { return s, nil }),
	}, harmlessConnection, func(i *backend.Item) bool {
		switch {
		case i.Name == "children":
			r.children(c, i.Section, actions)
		case strings.HasPrefix(i.Name, "local"):
			if local++; local > 1 {
				r.unsupported(i.Name, "a second round of authentication")
			}
			r.auth(&c.Local, i, &certs.Own, nil)
		case strings.HasPrefix(i.Name, "remote"):
			if remote++; remote > 1 {
				r.unsupported(i.Name, "a second round of authentication")
			}
			r.auth(&c.Remote, i, &certs.Peer, &certs.Authorities)
		default:
			return false
		}
		return true
	})
	c.LocalAddrs, c.RemoteAddrs = anyAddr(c.LocalAddrs), anyAddr(c.RemoteAddrs)
	if encap {
		c.NAT = "force"
	}
	longest := max(c.Rekey, c.Reauth)
	if !hasOver {
		over = longest / 10
	}
	if c.Hard = longest + over; longest == 0 && !hasOver {
		c.Hard = 0
	}
	if c.Jitter = jitter; !hasJitter {
		c.Jitter = over
	}
	if c.Jitter >= longest && longest > 0 {
		r.refuse("rand_time", "%s leaves nothing of the %s until the new SA", formatDuration(c.Jitter), formatDuration(longest))
	}
	if len(actions) > 1 {
		r.unsupported("children", "children with different dpd_action")
	}
	for a := range actions {
		c.DPD.Action = a
	}
	return c, certs
}

// portInto reads a port that may be left to the default.
func portInto(into *uint16) readSetting {
	return func(r *sectionReader, i *backend.Item) {
		n, err := strconv.ParseUint(word(i), 10, 16)
		if err != nil {
			r.refuse(i.Name, "%s is no port", quoted(word(i)))
			return
		}
		if *into = uint16(n); n == wire.PortIKE {
			*into = 0
		}
	}
}

func (r *sectionReader) auth(a *Auth, i *backend.Item, certs, authorities *[][]byte) {
	if authorities == nil { // this side does not ask for one
		authorities = new([][]byte)
	}
	r.within = i.Name + "."
	defer func() { r.within = "" }()
	remote := a.Revocation != ""
	revocation := a.Revocation
	r.read(i.Section, map[string]readSetting{
		"auth":   func(r *sectionReader, i *backend.Item) { a.Method = r.method(i) },
		"id":     func(_ *sectionReader, i *backend.Item) { a.ID = identityOf(word(i)) },
		"eap_id": func(_ *sectionReader, i *backend.Item) { a.EAPID = identityOf(word(i)) },
		"certs":  octetsInto(certs), "cacerts": octetsInto(authorities),
		"revocation": choiceInto(&revocation, "relaxed ifuri strict"),
	}, harmlessAuth, func(i *backend.Item) bool {
		if !strings.HasPrefix(i.Name, "cert") && !strings.HasPrefix(i.Name, "cacert") {
			return false
		}
		r.unsupported(i.Name, "a certificate on a token or in a file of the daemon's")
		return true
	})
	if a.Revocation = revocation; !remote || a.Method != Pubkey && a.Method != EAPTLS {
		a.Revocation = ""
	}
}

// identityOf gives an identity; any is none in particular.
func identityOf(s string) string {
	if s == "%any" {
		return ""
	}
	return s
}

// method reads how a side proves who it is.
func (r *sectionReader) method(i *backend.Item) Method {
	switch s := strings.ToLower(word(i)); s {
	case "psk":
		return PSK
	case "pubkey", "rsa", "ecdsa":
		return Pubkey
	case "eap-tls":
		return EAPTLS
	case "eap-mschapv2":
		return EAPMSCHAPv2
	default:
		r.unsupported(i.Name, "%s", quoted(s))
		return ""
	}
}

// octetsInto reads certificates: any octets, which are not taken apart.
func octetsInto(into *[][]byte) readSetting {
	return func(_ *sectionReader, i *backend.Item) {
		list := i.List
		if list == nil && i.Value != "" {
			list = []string{i.Value}
		}
		for _, s := range list {
			*into = append(*into, []byte(s))
		}
	}
}

func (r *sectionReader) children(c *Connection, s *backend.Section, actions map[string]bool) {
	if s == nil {
		return
	}
	seen := map[string]bool{}
	for k := range s.Items {
		i := &s.Items[k]
		switch {
		case i.Section == nil:
			r.refuse("children."+i.Name, "it is no section")
		case seen[i.Name]:
			r.refuse("children."+i.Name, "it is there twice")
		}
		if r.err != nil {
			return
		}
		seen[i.Name] = true
		action := "clear"
		c.Children = append(c.Children, r.child(i, &action))
		actions[action] = true
	}
}

func (r *sectionReader) child(i *backend.Item, action *string) Child {
	dynamic, _ := parseSelector("dynamic")
	c := Child{Name: i.Name, Start: "none", Close: "none", Local: []Selector{dynamic}, Remote: []Selector{dynamic}, Time: Limits[time.Duration]{Rekey: defaultESPRekey}}
	mode := "tunnel"
	proposals := proposalsInto(&c.Proposals, wire.ProtocolESP, anyESP)
	proposals(r, &backend.Item{Name: "esp_proposals"})
	var hard, jitter [3]bool
	r.within = "children." + i.Name + "."
	defer func() { r.within = "" }()
	r.read(i.Section, map[string]readSetting{
		"local_ts": parsedInto(&c.Local, parseSelector), "remote_ts": parsedInto(&c.Remote, parseSelector), "esp_proposals": proposals,
		"mode": choiceInto(&mode, "tunnel transport transport_proxy pass drop beet iptfs"), "dpd_action": choiceInto(action, "clear none=clear trap hold=trap route=trap restart start=restart"),
		"start_action": choiceInto(&c.Start, "none clear=none trap route=trap start restart=start trap|start"),
		"close_action": choiceInto(&c.Close, "none clear=none trap hold=trap route=trap start restart=start"),
		"rekey_time":   timeInto(&c.Time.Rekey, nil), "life_time": timeInto(&c.Time.Hard, &hard[0]), "rand_time": timeInto(&c.Time.Jitter, &jitter[0]),
		"rekey_bytes": countInto(&c.Octets.Rekey, new(bool)), "life_bytes": countInto(&c.Octets.Hard, &hard[1]), "rand_bytes": countInto(&c.Octets.Jitter, &jitter[1]),
		"rekey_packets": countInto(&c.Packets.Rekey, new(bool)), "life_packets": countInto(&c.Packets.Hard, &hard[2]), "rand_packets": countInto(&c.Packets.Jitter, &jitter[2]),
	}, harmlessChild, nil)
	if c.Transport = mode == "transport"; !c.Transport && mode != "tunnel" {
		r.unsupported("mode", "%s", mode)
	}
	if c.Start == "trap|start" {
		r.unsupported("start_action", "%s", c.Start)
	}
	limitsOf(&c.Time, hard[0], jitter[0])
	limitsOf(&c.Octets, hard[1], jitter[1])
	limitsOf(&c.Packets, hard[2], jitter[2])
	return c
}

// limitsOf fills in what swanctl takes for granted.
func limitsOf[T ~int64 | ~uint64](l *Limits[T], hard, jitter bool) {
	if !hard {
		l.Hard = l.Rekey + l.Rekey/10
	}
	if !jitter && l.Hard > l.Rekey {
		l.Jitter = min(l.Hard-l.Rekey, l.Rekey)
	}
}
