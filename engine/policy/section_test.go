package policy_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// everything has each kind of setting that a policy knows and strongSwan's
// settings can say.
const everything = `version: 1
node: {identity: a.example, addresses: [192.0.2.1, "2001:db8::1"], certificate: own.crt, key: {file: own.key}}
authorities:
  root: {certificate: root.crt}
pools:
  inner: {addresses: 10.9.0.0/24}
defaults:
  ike: {lifetime: {rekey: 3h, hard: 4h, jitter: 5m}}
peers:
  byname: {addresses: vpn.example.net, identity: b.example, auth: cert, revocation: ifuri}
  pinned: {addresses: 198.51.100.7, identity: c.example, auth: cert, certificate: peer.crt}
  shared:
    addresses: [203.0.113.0/24, 203.0.114.9]
    identity: "@#0a0b"
    auth: psk
    psk: {env: X}
    port: 4510
    nat: force
    pools: [inner]
    ike: {proposals: [aes256-sha256-modp2048, aes128gcm16-prfsha256-x25519], unique: replace, fragmentation: force, mobike: false, lifetime: {rekey: 2h, reauth: 3h, hard: 4h}}
    dpd: {interval: 0s}
  road: {identity: e.example, auth: eap-mschapv2, eap: {role: client, identity: user, password: {env: Y}}, addresses: 192.0.2.9, virtual_addresses: [ipv4, ipv6]}
tunnels:
  lan: {peer: byname, local: 10.1.0.0/16, remote: [10.2.0.0/16, "10.3.0.0/16[tcp/443]", "10.4.0.1-10.4.0.9[udp/1024-2047]"], start: start}
  bytes: {peer: byname, remote: 10.7.0.0/16, esp: {lifetime: {rekey: 30m, hard: 40m, jitter: 1m}, octets: {rekey: 1GB, hard: 2GB}, packets: {rekey: 1000, hard: 2000, jitter: 10}}}
  host: {peer: pinned, mode: transport, start: trap, esp: {proposals: chacha20poly1305-x25519}}
`

// settingsOf gives a policy and the sections of its connections.
func settingsOf(t *testing.T) (*policy.Policy, *policy.Tree) {
	t.Helper()
	p, findings := policy.Parse(t.Context(), "policy.yaml", []byte(everything), policy.Options{Dir: "/etc/p", NoFiles: true})
	if p == nil {
		t.Fatal(findings)
	}
	return p, policy.NewTree(p)
}

// TestConnectionsComeBackFromTheirSettings proves the reverse of the settings:
// what they say is read as it was.
func TestConnectionsComeBackFromTheirSettings(t *testing.T) {
	p, tree := settingsOf(t)
	if len(tree.Connections) != 4 {
		t.Fatalf("%d connections", len(tree.Connections))
	}
	for i, named := range tree.Connections {
		got, certs, err := policy.ReadConnection(named.Name, named.Settings)
		if err != nil {
			t.Fatal(err)
		}
		want := p.Connections[i]
		// What settings do not say: who waits how long for an answer to DPD,
		// and secrets. Certificates come beside the connection.
		want.DPD.Timeout, want.DPD.Retries = got.DPD.Timeout, got.DPD.Retries
		want.Credentials, want.Local.Key = nil, policy.SecretRef{}
		paths := func(list [][]byte) (all []string) {
			for _, b := range list {
				all = append(all, string(b))
			}
			return all
		}
		if d := cmp.Diff(paths(certs.Authorities), want.Remote.Authorities); d != "" {
			t.Errorf("%s: authorities %s", named.Name, d)
		}
		if own := strings.Join(paths(certs.Own), " "); own != want.Local.Certificate {
			t.Errorf("%s: own certificate %q, want %q", named.Name, own, want.Local.Certificate)
		}
		if peer := strings.Join(paths(certs.Peer), " "); peer != want.Remote.Certificate {
			t.Errorf("%s: the peer's certificate %q, want %q", named.Name, peer, want.Remote.Certificate)
		}
		want.Local.Certificate, want.Remote.Certificate, want.Remote.Authorities = "", "", nil
		addr := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
		prefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
		// Settings have no lines.
		line := cmp.FilterPath(func(p cmp.Path) bool {
			return p.String() == "Proposals.Line" || p.String() == "Children.Proposals.Line"
		}, cmp.Ignore())
		if d := cmp.Diff(&want, got, addr, prefix, line); d != "" {
			t.Errorf("%s: %s", named.Name, d)
		}
	}
}

// TestAConnectionMadeAnewFromSettingsIsTheSameSettings proves that a second
// round changes nothing.
func TestAConnectionMadeAnewFromSettingsIsTheSameSettings(t *testing.T) {
	_, tree := settingsOf(t)
	for _, named := range tree.Connections {
		c, _, err := policy.ReadConnection(named.Name, named.Settings)
		if err != nil {
			t.Fatal(err)
		}
		again := policy.NewTree(&policy.Policy{Connections: []policy.Connection{*c}}).Connections[0]
		c2, _, err := policy.ReadConnection(again.Name, again.Settings)
		if err != nil || !reflect.DeepEqual(c, c2) {
			t.Errorf("%s: %+v becomes %+v (%v)", named.Name, c, c2, err)
		}
	}
}

// conn makes a section from words: "local.auth=psk" puts a value into a section,
// "a=" an empty one.
func conn(words ...string) *backend.Section {
	root := &backend.Section{}
	for _, w := range words {
		path, value, _ := strings.Cut(w, "=")
		at := root
		names := strings.Split(path, ".")
		for _, n := range names[:len(names)-1] {
			at = at.Sub(n)
		}
		at.Set(names[len(names)-1], value)
	}
	return root
}

func TestAnEmptySectionHasStrongSwansDefaults(t *testing.T) {
	c, certs, err := policy.ReadConnection("x", conn("children.net.mode=tunnel"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Rekey != 4*time.Hour || c.Hard != 4*time.Hour+24*time.Minute || c.Jitter != 24*time.Minute || c.DPD.Interval != 0 || !c.MOBIKE ||
		c.Unique != "no" || c.Local.Method != policy.Pubkey || len(c.Proposals) < 2 || !c.LocalAddrs[0].Any() {
		t.Errorf("connection %+v", c)
	}
	ch := c.Children[0]
	if ch.Time.Rekey != time.Hour || ch.Time.Hard != 66*time.Minute || ch.Time.Jitter != 6*time.Minute || ch.Start != "none" || ch.Close != "none" || !ch.Local[0].Dynamic || len(ch.Proposals) < 2 {
		t.Errorf("child %+v", ch)
	}
	if len(certs.Own)+len(certs.Peer)+len(certs.Authorities) != 0 {
		t.Errorf("certificates %+v", certs)
	}
}

func TestSettingsAreReadInSwanctlsForms(t *testing.T) {
	c, _, err := policy.ReadConnection("x", conn("version=2", "local_addrs=192.0.2.1, 192.0.2.2", "remote_port=500", "rekey_time=90", "over_time=1m", "rand_time=5s",
		"keyingtries=0", "dpd_delay=2h", "encap=true", "proposals=default", "local.auth=PSK", "local.id=%any", "remote.auth=rsa", "remote.revocation=strict",
		"children.net.start_action=restart", "children.net.close_action=hold", "children.net.dpd_action=hold", "children.net.rekey_bytes=2k", "children.net.life_bytes=3K", "children.net.esp_proposals=aes128-sha1", "children.net.updown="))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.LocalAddrs) != 2 || c.RemotePort != 0 || c.Rekey != 90*time.Second || c.Hard != 150*time.Second || c.Jitter != 5*time.Second || c.DPD.Interval != 2*time.Hour ||
		c.NAT != "force" || c.Local.Method != policy.PSK || c.Local.ID != "" || c.Remote.Method != policy.Pubkey || c.Remote.Revocation != "strict" || c.DPD.Action != "trap" {
		t.Errorf("connection %+v", c)
	}
	ch := c.Children[0]
	if ch.Start != "start" || ch.Close != "trap" || ch.Octets != (policy.Limits[uint64]{Rekey: 2048, Hard: 3072, Jitter: 1024}) || len(ch.Proposals) != 1 {
		t.Errorf("child %+v", ch)
	}
}

func TestSettingsThatCannotBeHadAreRefusedByName(t *testing.T) {
	list := &backend.Section{}
	list.SetList("certs", "x")
	token := &backend.Section{}
	token.Sub("local").Sub("cert1").Set("handle", "00")
	two := conn("local-1.auth=psk", "local-2.auth=psk")
	child := &backend.Section{}
	child.Set("children", "x")
	flat := &backend.Section{}
	flat.Sub("children").Set("net", "x")
	twice := &backend.Section{Items: []backend.Item{{Name: "children", Section: &backend.Section{Items: []backend.Item{
		{Name: "net", Section: &backend.Section{}}, {Name: "net", Section: &backend.Section{}}}}}}}
	for _, row := range []struct {
		name, says string
		kind       error
		s          *backend.Section
	}{
		{"an unknown setting", "colour: it is not known as a setting", backend.ErrRefused, conn("colour=red")},
		{"an unknown section", "colour: it is not known as a section", backend.ErrRefused, conn("colour.red=1")},
		{"an unknown setting of a child", "children.net.colour", backend.ErrRefused, conn("children.net.colour=1")},
		{"IKEv1", "version", backend.ErrUnsupported, conn("version=1")},
		{"a bad address", "local_addrs", backend.ErrRefused, conn("local_addrs=192.0.2.300")},
		{"a bad port", "remote_port", backend.ErrRefused, conn("remote_port=70000")},
		{"a bad proposal", "proposals", backend.ErrRefused, conn("proposals=nonsense")},
		{"a bad time", "rekey_time", backend.ErrRefused, conn("rekey_time=4w")},
		{"no time", "rekey_time", backend.ErrRefused, conn("rekey_time=h")},
		{"an endless time", "rekey_time", backend.ErrRefused, conn("rekey_time=99999999999d")},
		{"a bad number", "rekey_bytes", backend.ErrRefused, conn("children.net.rekey_bytes=many")},
		{"a bad choice", "unique", backend.ErrRefused, conn("unique=sometimes")},
		{"a bad yes or no", "mobike", backend.ErrRefused, conn("mobike=perhaps")},
		{"a bad selector", "children.net.local_ts", backend.ErrRefused, conn("children.net.local_ts=10.0.0.0/33")},
		{"a bad virtual address", "vips", backend.ErrRefused, conn("vips=everywhere")},
		{"jitter that leaves nothing", "rand_time", backend.ErrRefused, conn("rekey_time=10", "rand_time=10")},
		{"another method", "remote.auth", backend.ErrUnsupported, conn("remote.auth=xauth")},
		{"a second round", "local-2", backend.ErrUnsupported, two},
		{"a token", "local.cert1", backend.ErrUnsupported, token},
		{"groups", "remote.groups", backend.ErrUnsupported, conn("remote.groups=admins")},
		{"a policy that drops", "children.net.mode", backend.ErrUnsupported, conn("children.net.mode=drop")},
		{"two start actions", "children.net.start_action", backend.ErrUnsupported, conn("children.net.start_action=trap|start")},
		{"a mark", "children.net.mark_in", backend.ErrUnsupported, conn("children.net.mark_in=42")},
		{"different actions", "dpd_action", backend.ErrUnsupported, conn("children.a.dpd_action=trap", "children.b.dpd_action=restart")},
		{"children that are none", "children", backend.ErrRefused, child},
		{"a child that is none", "children.net", backend.ErrRefused, flat},
		{"a child twice", "children.net", backend.ErrRefused, twice},
		{"certificates in the wrong place", "certs", backend.ErrRefused, list},
	} {
		_, _, err := policy.ReadConnection("x", row.s)
		if !errors.Is(err, row.kind) || !strings.Contains(err.Error(), row.says) || !strings.HasPrefix(err.Error(), "connection x: ") {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if _, _, err := policy.ReadConnection("x", nil); err != nil {
		t.Errorf("no section at all: %v", err)
	}
}
