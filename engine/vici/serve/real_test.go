package serve_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/native/nativetest"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/vici/serve"
	"github.com/cloudvlan/cvlanctl/lab"
)

// site is the end of a bench where our engine runs: its certificates in the
// folders of swanctl, and a strongSwan at the other end.
type site struct {
	bench       *lab.Bench
	dir         string
	ours, other lab.End
}

// newSite lays a bench whose responder is a strongSwan with an RSA certificate;
// ours is ECDSA's, below an intermediate authority.
func newSite(t *testing.T) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab.Need(t)
	s := &site{dir: t.TempDir()}
	s.bench = lab.BenchFor(ctx, t, lab.Scenario{Name: "serve", Ends: func(a, b *lab.End) error {
		root, err := lab.NewRoot("Lab Root CA", lab.ECDSA(elliptic.P384()))
		if err != nil {
			return err
		}
		middle, err := root.NewIntermediate("Lab Intermediate CA", lab.ECDSA(elliptic.P256()))
		if err != nil {
			return err
		}
		leaf, err := middle.NewLeaf(a.Local.ID, lab.ECDSA(elliptic.P256()))
		if err != nil {
			return err
		}
		theirs, err := root.NewLeaf(b.Local.ID, lab.RSA(2048))
		if err != nil {
			return err
		}
		b.Trust(root)
		b.Remote.Method, b.ESP, b.RemoteAddrs = "pubkey", "aes256gcm16-ecp256", a.LocalAddrs
		a.Local.Method, a.Remote.Method, a.ESP = "pubkey", "pubkey", "aes256gcm16-ecp256"
		a.Local.Lines = append(a.Local.Lines, "certs = me.pem")
		a.Absent = true
		key, err := leaf.KeyPEM()
		s.ours, s.other = *a, *b
		return errors.Join(err, b.Present(theirs), s.put("x509/me.pem", leaf.CertPEM()), s.put("private/me.pem", key),
			s.put("x509ca/root.pem", root.CertPEM()), s.put("x509/middle.pem", middle.CertPEM()))
	}})
	return s
}

// put writes a file of the site's.
func (s *site) put(name string, data []byte) error {
	path := filepath.Join(s.dir, name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600))
}

// start starts our engine there.
func (s *site) start(t *testing.T, p *policy.Policy) *native.Engine {
	t.Helper()
	return nativetest.Start(t, native.Options{Policy: p, Local: netip.MustParseAddr(s.bench.OuterA),
		Listen: func(a netip.AddrPort) (*net.UDPConn, error) { return s.bench.NSA.ListenUDP(a.String()) }})
}

// agrees says whether the strongSwan has the SAs that our engine has.
func (s *site) agrees(t *testing.T, e *native.Engine) bool {
	t.Helper()
	list, err := e.SAs(limited(t), backend.Filter{})
	if err != nil || len(list) != 1 || list[0].State != engine.IKEEstablished || len(list[0].Children) != 1 {
		return false
	}
	in, _ := list[0].Children[0].SPIIn.Get()
	text, err := s.bench.B.Swanctl(limited(t), "--list-sas")
	return err == nil && strings.Contains(text, list[0].InitiatorSPI.String()) && strings.Contains(text, in.String())
}

// TestSwanctlLoadsWhatSwanctlConfHasAndStrongSwanAnswers proves it with the
// certificates and settings of a swanctl.conf, and that what is gone from it is
// unloaded; and before that, a policy with the same certificates.
func TestSwanctlLoadsWhatSwanctlConfHasAndStrongSwanAnswers(t *testing.T) {
	s := newSite(t)
	if err := s.put("policy.yaml", fmt.Appendf(nil, `version: 1
node: {identity: %q, addresses: %s, certificate: x509/me.pem, key: {file: private/me.pem}, intermediates: [x509/middle.pem]}
authorities: {root: {certificate: x509ca/root.pem}}
peers: {gw: {addresses: %s, identity: %q, auth: cert}}
tunnels: {net: {peer: gw, local: %s, remote: %s}}
`, s.ours.Local.ID, s.bench.OuterA, s.bench.OuterB, s.other.Local.ID, s.ours.LocalTS, s.other.LocalTS)); err != nil {
		t.Fatal(err)
	}
	p, findings, err := policy.Load(t.Context(), filepath.Join(s.dir, "policy.yaml"), policy.Options{Now: time.Now()})
	if p == nil {
		t.Fatal(findings, err)
	}
	e := s.start(t, p)
	_, path := served(t, e, serve.Options{})
	ctl := newSwanctl(t, path)
	ctl.ok("--initiate", "--child", "net")
	eventually(t, "both have the tunnel of the policy", func() bool { return s.agrees(t, e) })
	ctl.says(ctl.ok("--list-certs"), "--list-certs", "List of X.509 End Entity Certificates", "CN="+s.ours.Local.ID, "has private key", "List of X.509 CA Certificates", "CN=Lab Root CA", "CN=Lab Intermediate CA")
	ctl.says(ctl.ok("--list-authorities"), "--list-authorities", "root:", "CN=Lab Root CA")
	ctl.says(ctl.ok("--list-conns"), "--list-conns", "local public key authentication:", "certs: O=cvlanctl lab, CN="+s.ours.Local.ID, "cacerts: O=cvlanctl lab, CN=Lab Root CA")
	if out := ctl.ok("--list-certs", "--subject", s.ours.Local.ID, "--type", "x509"); strings.Contains(out, "Root CA\"\n  issuer") || !strings.Contains(out, s.ours.Local.ID) {
		t.Errorf("--list-certs with a filter: %s", out)
	}
	// A swanctl that knows nothing of the policy leaves it alone.
	if err := s.put("empty/swanctl.conf", nil); err != nil {
		t.Fatal(err)
	}
	ctl.ok("--load-all", "--noprompt", "--file", filepath.Join(s.dir, "empty/swanctl.conf"))
	if conns, err := e.Connections(limited(t)); err != nil || len(conns) != 1 || !s.agrees(t, e) {
		t.Errorf("after a swanctl of others: %d connections, %v", len(conns), err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	// Now without a policy.
	e = s.start(t, &policy.Policy{})
	_, path = served(t, e, serve.Options{})
	ctl = newSwanctl(t, path)
	conf := filepath.Join(s.dir, "swanctl.conf")
	if err := s.put("swanctl.conf", []byte(s.ours.SwanctlConf())); err != nil {
		t.Fatal(err)
	}
	ctl.says(ctl.ok("--load-all", "--noprompt", "--file", conf), "--load-all", "loaded certificate from", "loaded private key from", "loaded ike secret 'ike-lab'",
		"loaded connection 'gw'", "successfully loaded 1 connections, 0 unloaded")
	ctl.ok("--load-creds", "--clear", "--noprompt", "--file", conf)
	ctl.ok("--load-conns", "--file", conf)
	ctl.ok("--initiate", "--child", "net")
	eventually(t, "both have the tunnel of the swanctl.conf", func() bool { return s.agrees(t, e) })
	if text, err := s.bench.B.Swanctl(limited(t), "--terminate", "--ike", "gw"); err != nil {
		t.Fatal(text, err)
	}
	eventually(t, "the peer's delete is followed", func() bool {
		list, err := e.SAs(limited(t), backend.Filter{})
		return err == nil && len(list) == 0
	})
	if text, err := s.bench.B.Swanctl(limited(t), "--initiate", "--child", "net"); err != nil {
		t.Fatal(text, err)
	}
	eventually(t, "the peer's tunnel is up", func() bool { return s.agrees(t, e) })

	if err := errors.Join(s.put("swanctl.conf", nil), os.RemoveAll(filepath.Join(s.dir, "private")), os.Mkdir(filepath.Join(s.dir, "private"), 0o700)); err != nil {
		t.Fatal(err)
	}
	ctl.says(ctl.ok("--load-all", "--noprompt", "--file", conf), "--load-all", "1 unloaded")
	conns, err := e.Connections(limited(t))
	c, err2 := e.Credentials(limited(t))
	if err != nil || err2 != nil || len(conns)+len(c.Keys)+len(c.Secrets) != 0 {
		t.Errorf("after unloading: %d connections, %+v, %v, %v", len(conns), c, err, err2)
	}
	for says, conf := range map[string]string{
		"reauthentication":            "connections { bad { reauth_time = 1h } }",
		"it is not known":             "connections { bad { colour = red } }",
		"pools of virtual addresses":  "pools { bad { addrs = 10.0.0.0/24 } }",
		"authority bad: file":         "authorities { bad { file = x } }",
		"post-quantum preshared keys": "secrets { ppk-1 { secret = x } }",
	} {
		if err := s.put("swanctl.conf", []byte(conf)); err != nil {
			t.Fatal(err)
		}
		out, _ := ctl.run("--load-all", "--noprompt", "--file", filepath.Join(s.dir, "swanctl.conf"))
		if !strings.Contains(out, says) {
			t.Errorf("%s: swanctl says %s", conf, out)
		}
	}
}
