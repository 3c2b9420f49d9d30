package policy

import (
	"fmt"
	"strconv"
)

// connection makes the connection of one peer.
func (b *builder) connection(e *entry, node *node) Connection {
	n, at := e.value, "peers."+e.key
	local := n.get("local")
	if local != nil {
		b.checkOwn(local, at+".local")
	}
	c := Connection{Name: e.key, RemoteAddrs: anyAddr(parsed(n.get("addresses"), parseAddress))}
	own := n.get("local").get("addresses")
	if own == nil {
		own = node.get("addresses")
	}
	c.LocalAddrs = anyAddr(parsed(own, parseAddress))
	if v := n.get("port"); v != nil {
		port, _ := strconv.ParseUint(v.text, 10, 16) // was checked
		c.RemotePort = uint16(port)
	}
	b.ike(&c, n, at)
	for i, name := range texts(n.get("pools")) {
		if b.root.get("pools").has(name) {
			c.Pools = append(c.Pools, name)
		} else {
			b.dangling(n.get("pools").items[i], fmt.Sprintf("%s.pools[%d]", at, i), "pool", b.root.get("pools"))
		}
	}
	c.VirtualAddrs = parsed(n.get("virtual_addresses"), parseVirtual)
	b.auth(&c, e, node, at)
	b.addChildren(&c, e, at)
	return c
}

// own gives a key of this node for one peer: what the peer's local says, else
// what node says; and where that stands.
func (b *builder) own(n, node *node, at, key string) (*node, string) {
	if local := n.get("local"); local.has(key) {
		return local, at + ".local"
	}
	return node, "node"
}

// auth fills in both sides' authentication.
func (b *builder) auth(c *Connection, e *entry, node *node, at string) {
	n := e.value
	place, _ := b.own(n, node, at, "identity")
	c.Local.ID, c.Remote.ID = value(place, "identity", ""), value(n, "identity", "")
	method := n.get("auth")
	if method == nil {
		return
	}
	eap := n.get("eap")
	switch method.text {
	case "psk":
		c.Local.Method, c.Remote.Method = PSK, PSK
		b.refuse(n, at, "with auth psk", "eap", "authorities", "certificate", "revocation")
		b.psk(c, n, method, at)
	case "cert":
		c.Local.Method, c.Remote.Method = Pubkey, Pubkey
		b.refuse(n, at, "with auth cert", "eap", "psk")
		b.ownCertificate(c, n, node, method, at)
		b.peerAuthorities(c, n, method, at)
	default:
		b.refuse(n, at, "with auth "+method.text, "psk")
		if eap == nil {
			if !n.has("eap") {
				b.report.at(method, Error, "missing-key", at, "auth %s needs eap with a role", method.text)
			}
			return
		}
		b.eap(c, e, node, Method(method.text), at)
	}
}

// refuse reports keys that have no meaning with a method.
func (b *builder) refuse(n *node, at, why string, keys ...string) {
	for i := range n.entries {
		for _, key := range keys {
			if n.entries[i].key == key {
				b.report.at(n.entries[i].at(), Error, "not-with-auth", join(at, key), "has no meaning %s", why)
			}
		}
	}
}

func (b *builder) psk(c *Connection, n, method *node, at string) {
	if !n.has("psk") {
		b.report.at(method, Error, "missing-key", at, "auth psk needs psk: where the preshared key is")
	}
	if c.Local.ID == "" {
		b.report.at(method, Warning, "no-identity", at, "this node has no identity: its address stands for it, and changes with it")
	}
	ref := b.secret(n, "psk", at)
	if ref.IsZero() {
		return
	}
	var owners []string
	for _, id := range []string{c.Local.ID, c.Remote.ID} {
		if id != "" {
			owners = append(owners, id)
		}
	}
	if c.Remote.ID == "" && len(c.RemoteAddrs) == 1 && c.RemoteAddrs[0].Single() && c.RemoteAddrs[0].Host == "" {
		owners = append(owners, c.RemoteAddrs[0].String())
	}
	if c.Remote.ID == "" && !c.RemoteAddrs[0].Single() {
		b.report.at(method, Warning, "no-identity", at, "the peer has neither identity nor address: whoever knows this preshared key is taken for it")
	}
	c.Credentials = append(c.Credentials, Credential{Name: "ike-" + c.Name, Owners: owners, Secret: ref})
}

// ownCertificate fills in the certificate that this node shows the peer.
func (b *builder) ownCertificate(c *Connection, n, node, method *node, at string) {
	place, where := b.own(n, node, at, "certificate")
	c.Local.Certificate = b.file(place, "certificate", where)
	if !place.has("certificate") {
		b.report.at(method, Error, "missing-key", at, "auth %s needs node.certificate", method.text)
	}
	keyPlace, keyWhere := b.own(n, node, at, "key")
	if !keyPlace.has("key") {
		b.report.at(method, Error, "missing-key", at, "auth %s needs node.key: where the private key of the certificate is", method.text)
	} else if keyPlace.get("key") != nil {
		c.Local.Key = b.secretQuietly(keyPlace, "key", keyWhere)
	}
	if c.Local.ID == "" {
		return // the certificate's subject stands for it
	}
	idPlace, idWhere := b.own(n, node, at, "identity")
	b.checkIdentity(idPlace.get("identity"), join(idWhere, "identity"), c.Local.ID, c.Local.Certificate)
}

// secretQuietly reads a reference that checkOwn has reported on.
func (b *builder) secretQuietly(n *node, key, at string) SecretRef {
	kept := b.report
	b.report = &report{}
	defer func() { b.report = kept }()
	return b.secret(n, key, at)
}

// peerAuthorities fills in who may vouch for the peer's certificate.
func (b *builder) peerAuthorities(c *Connection, n, method *node, at string) {
	c.Remote.Revocation = value(n, "revocation", "relaxed")
	c.Remote.Certificate = b.file(n, "certificate", at)
	if c.Remote.Certificate != "" {
		b.checkCertificate(n.get("certificate"), c.Remote.Certificate, join(at, "certificate"))
	}
	if v := n.get("authorities"); v != nil {
		for i, item := range v.items {
			if item.kind != textNode {
				continue
			}
			if file, ok := b.authorities[item.text]; ok {
				c.Remote.Authorities = append(c.Remote.Authorities, file)
			} else if !b.root.get("authorities").has(item.text) {
				b.dangling(item, fmt.Sprintf("%s.authorities[%d]", at, i), "authority", b.root.get("authorities"))
			}
		}
		return
	}
	for _, a := range b.policy.Authorities {
		c.Remote.Authorities = append(c.Remote.Authorities, a.Certificate)
	}
	if !b.root.has("authorities") && c.Remote.Certificate == "" {
		b.report.at(method, Error, "missing-key", at, "auth %s needs somebody to believe: authorities, or the peer's certificate", method.text)
	}
}

// eap fills in the method's two sides: the server shows a certificate, the
// client answers in EAP.
func (b *builder) eap(c *Connection, e *entry, node *node, m Method, at string) {
	n, eap := e.value, e.value.get("eap")
	here, method := at+".eap", n.get("auth")
	role := value(eap, "role", "")
	id := value(eap, "identity", "")
	if role == "client" {
		c.Local.Method, c.Remote.Method = m, Pubkey
		c.Local.EAPID = id
		b.refuse(eap, here, "for a client", "users")
		b.peerAuthorities(c, n, method, at)
		if m == EAPTLS {
			b.refuse(eap, here, "with eap-tls", "password")
			b.ownCertificate(c, n, node, method, at)
			return
		}
		if id == "" && !eap.has("identity") {
			b.report.at(eap, Error, "missing-key", here, "a client of eap-mschapv2 needs identity: the user's name")
		}
		if !eap.has("password") {
			b.report.at(eap, Error, "missing-key", here, "a client of eap-mschapv2 needs password: where the password is")
		}
		if ref := b.secret(eap, "password", here); !ref.IsZero() {
			c.Credentials = append(c.Credentials, Credential{Name: "eap-" + c.Name, EAP: true, Owners: []string{id}, Secret: ref})
		}
		return
	}
	if role != "server" {
		return
	}
	c.Local.Method, c.Remote.Method = Pubkey, m
	c.Remote.EAPID = id
	b.refuse(eap, here, "for a server", "password")
	b.ownCertificate(c, n, node, method, at)
	if m == EAPTLS {
		b.refuse(eap, here, "with eap-tls", "users")
		b.peerAuthorities(c, n, method, at)
		return
	}
	b.refuse(n, at, "where the peer answers in EAP", "authorities", "certificate", "revocation")
	if !eap.has("users") {
		b.report.at(eap, Error, "missing-key", here, "a server of eap-mschapv2 needs users: their names and where their passwords are")
	}
	if users := eap.get("users"); users != nil {
		for i := range users.entries {
			u := &users.entries[i]
			if u.value.kind != mapNode {
				continue
			}
			c.Credentials = append(c.Credentials, Credential{Name: fmt.Sprintf("eap-%s-%d", c.Name, i+1), EAP: true,
				Owners: []string{u.key}, Secret: b.secretAt(u.value, here+".users."+u.key)})
		}
	}
}

// addChildren puts the tunnels of the peer into its connection.
func (b *builder) addChildren(c *Connection, e *entry, at string) {
	reachable := false
	for _, a := range c.RemoteAddrs {
		reachable = reachable || a.Single()
	}
	for _, t := range b.children[c.Name] {
		if !reachable && t.child.Start != "none" {
			where := t.entry.at()
			if v := t.entry.value.get("start"); v != nil {
				where = v
			}
			b.report.at(where, Error, "no-address", t.path+".start", "%s needs an address of peer %s to speak to", t.child.Start, c.Name)
		}
		if !reachable && c.DPD.Action == "restart" {
			b.report.at(t.entry.at(), Warning, "no-address", t.path, "dpd action restart does nothing: peer %s has no address to speak to", c.Name)
		}
		if !reachable && t.child.Close != "none" {
			b.report.at(t.entry.at(), Warning, "no-address", t.path, "close: %s does nothing: peer %s has no address to speak to", t.child.Close, c.Name)
		}
		c.Children = append(c.Children, t.child)
	}
	if len(c.Children) == 0 {
		b.report.at(e.at(), Warning, "unused", at, "no tunnel goes to this peer")
	}
}
