package policy_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/lab"
)

// bench makes a pair of strongSwan daemons. Without root it skips the test; in
// CI that is a failure.
func bench(t *testing.T) *lab.Bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	lab.Need(t)
	b := lab.BenchFor(ctx, t, lab.Scenario{Name: "policy"})
	return b
}

// side is one end of the pair with its policy.
type side struct {
	dir    string
	daemon *lab.Daemon
	client *vici.Client
	state  *policy.State
}

func newSide(t *testing.T, d *lab.Daemon) *side {
	t.Helper()
	a, err := vici.ParseAddr("vici:" + d.Socket())
	if err != nil {
		t.Fatal(err)
	}
	s := &side{dir: t.TempDir(), daemon: d, client: vici.New(a)}
	s.state = policy.NewState(s.client.Source())
	t.Cleanup(func() {
		if err := s.client.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// put writes a file that a policy names.
func (s *side) put(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// credentials gives a side a certificate, its key, and the root to believe.
func (s *side) credentials(t *testing.T, root *lab.Identity, name string, kind lab.KeyKind) {
	t.Helper()
	leaf, err := root.NewLeaf(name, kind)
	if err != nil {
		t.Fatal(err)
	}
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, "own.crt", leaf.CertPEM())
	s.put(t, "own.key", key)
	s.put(t, "root.crt", root.CertPEM())
}

// parse reads a policy of the side that must have no findings.
func (s *side) parse(t *testing.T, text string) *policy.Policy {
	t.Helper()
	s.put(t, "policy.yaml", []byte(text))
	p, findings, err := policy.Load(t.Context(), filepath.Join(s.dir, "policy.yaml"), policy.Options{Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
	if t.Failed() {
		t.FailNow()
	}
	return p
}

// plan compares a policy with what the daemon has.
func (s *side) plan(t *testing.T, p *policy.Policy) (*policy.Plan, []policy.Request) {
	t.Helper()
	requests, err := policy.NewTree(p).VICI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := policy.NewPlan(t.Context(), s.client, requests, s.state)
	if err != nil {
		t.Fatal(err)
	}
	return plan, requests
}

// load brings a policy into the daemon over VICI, and proves that nothing is
// left to change then.
func (s *side) load(t *testing.T, text string) []string {
	t.Helper()
	p := s.parse(t, text)
	plan, requests := s.plan(t, p)
	var done []string
	err := plan.Apply(t.Context(), s.client, func(step policy.Step, err error) {
		done = append(done, fmt.Sprintf("%s %s %s", step.Action, step.Kind, step.Name))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.agrees(t, requests)
	again, _ := s.plan(t, p)
	if n := again.Changes(); n != 0 {
		t.Errorf("after loading, %d changes are left: %+v", n, again.Steps)
	}
	return done
}

// agrees proves that the daemon lists every connection as the policy has it.
func (s *side) agrees(t *testing.T, requests []policy.Request) {
	t.Helper()
	conns, err := s.client.Connections(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, r := range requests {
		for _, c := range conns {
			if r.Kind == policy.KindConnection && c.Name == r.Name {
				found++
				for _, diff := range policy.Differences(r.Settings, c) {
					t.Errorf("list-conns, %s: %s", c.Name, diff)
				}
			}
		}
	}
	if wanted := slices.ContainsFunc(requests, func(r policy.Request) bool { return r.Kind == policy.KindConnection }); wanted && found == 0 {
		t.Error("list-conns shows no connection of the policy")
	}
}

// carries proves that the tunnel comes up and that pings pass through it, and
// takes it down.
func carries(t *testing.T, b *lab.Bench, a *side) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := a.client.Up(ctx, backend.Target{IKE: "hub", Child: "net"}, backend.UpOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.PingThrough(ctx, 2); err != nil {
		t.Error(err)
	}
	if err := a.client.Down(ctx, backend.Target{IKE: "hub"}, backend.DownOptions{}, nil); err != nil {
		t.Error(err)
	}
}

// The tunnel of every pair: from an address of the one to one of the other.
const (
	nearTunnel = "tunnels:\n  net: {peer: hub, local: 10.1.0.1/32, remote: 10.2.0.1/32}\n"
	farTunnel  = "tunnels:\n  net: {peer: spoke, local: 10.2.0.1/32, remote: 10.1.0.1/32}\n"
	nearNode   = "version: 1\nnode: {identity: initiator.lab, addresses: 192.0.2.1, certificate: own.crt, key: {file: own.key}}\nauthorities: {lab: {certificate: root.crt}}\n"
	farNode    = "version: 1\nnode: {identity: responder.lab, certificate: own.crt, key: {file: own.key}}\nauthorities: {lab: {certificate: root.crt}}\n"
)

// pair is a policy for either end.
type pair struct {
	name      string
	kind      lab.KeyKind
	near, far string // the peers
	// virtual is the inner address that the initiator is to get; then the
	// tunnel goes from there.
	virtual string
}

func pairs() []pair {
	return []pair{
		{"PSK", lab.ECDSA(elliptic.P256()),
			"peers:\n  hub: {addresses: 192.0.2.2, identity: responder.lab, auth: psk, psk: {file: psk}}\n",
			"peers:\n  spoke: {identity: initiator.lab, auth: psk, psk: {command: [cat, PSKFILE]}}\n", ""},
		{"a virtual address", lab.ECDSA(elliptic.P256()),
			"peers:\n  hub: {addresses: 192.0.2.2, identity: responder.lab, auth: cert, virtual_addresses: ipv4, nat: force}\n",
			"pools: {inner: {addresses: 10.9.0.0/24, dns: 10.2.0.1, subnets: 10.2.0.0/16}}\npeers:\n  spoke: {identity: initiator.lab, auth: cert, pools: inner}\n", "10.9.0.1"},
		{"RSA certificates", lab.RSA(2048),
			"peers:\n  hub: {addresses: 192.0.2.2, identity: responder.lab, auth: cert}\n",
			"peers:\n  spoke: {identity: initiator.lab, auth: cert}\n", ""},
		{"ECDSA certificates", lab.ECDSA(elliptic.P256()),
			"peers:\n  hub: {addresses: 192.0.2.2, identity: responder.lab, auth: cert, authorities: lab}\n",
			"peers:\n  spoke: {identity: initiator.lab, auth: cert}\n", ""},
		{"EAP-MSCHAPv2", lab.ECDSA(elliptic.P256()),
			"peers:\n  hub: {addresses: 192.0.2.2, identity: responder.lab, auth: eap-mschapv2, eap: {role: client, identity: carol, password: {env: CVLAN_TEST_PASSWORD}}}\n",
			"peers:\n  spoke: {identity: initiator.lab, auth: eap-mschapv2, eap: {role: server, users: {carol: {file: password}}}}\n", ""},
		{"EAP-TLS", lab.ECDSA(elliptic.P256()),
			"peers:\n  hub: {addresses: 192.0.2.2, identity: responder.lab, auth: eap-tls, eap: {role: client}}\n",
			"peers:\n  spoke: {identity: initiator.lab, auth: eap-tls, eap: {role: server}}\n", ""},
	}
}

// TestPoliciesBringTunnelsUpInStrongSwan loads a policy of every method of
// authentication over VICI into both ends, one replacing the other, and sends
// pings through the tunnel; then has swanctl take the rendered file.
func TestPoliciesBringTunnelsUpInStrongSwan(t *testing.T) {
	b := bench(t)
	near, far := newSide(t, b.A), newSide(t, b.B)
	t.Setenv("CVLAN_TEST_PASSWORD", "lab only password")
	for _, s := range []*side{near, far} {
		// The lab's own connection and secret would do in place of ours.
		if err := errors.Join(s.client.ClearCredentials(t.Context()), s.client.UnloadConnection(t.Context(), "gw")); err != nil {
			t.Fatal(err)
		}
		s.put(t, "psk", []byte("0x lab only: \"never\" use this\n")) // a prefix that swanctl.conf would take for hex
		s.put(t, "password", []byte("lab only password\n"))
	}
	for _, c := range pairs() {
		t.Run(c.name, func(t *testing.T) {
			root, err := lab.NewRoot("Policy Root CA", c.kind)
			if err != nil {
				t.Fatal(err)
			}
			near.credentials(t, root, "initiator.lab", c.kind)
			far.credentials(t, root, "responder.lab", c.kind)
			nearTunnel, farTunnel := nearTunnel, farTunnel
			if b.InnerA = "10.1.0.1"; c.virtual != "" {
				b.InnerA = c.virtual
				nearTunnel = strings.Replace(nearTunnel, "local: 10.1.0.1/32, ", "", 1)
				farTunnel = strings.Replace(farTunnel, ", remote: 10.1.0.1/32", "", 1)
			}
			nearText := nearNode + c.near + nearTunnel
			farText := farNode + strings.ReplaceAll(c.far, "PSKFILE", filepath.Join(far.dir, "psk")) + farTunnel

			near.load(t, nearText)
			far.load(t, farText)
			carries(t, b, near)

			t.Run("rendered", func(t *testing.T) {
				near.swanctl(t, nearText)
				far.swanctl(t, farText)
				carries(t, b, near)
			})
		})
		if t.Failed() {
			return
		}
	}
}

// swanctl renders a policy and has the real swanctl load it, and proves that
// the daemon then lists what the policy says.
func (s *side) swanctl(t *testing.T, text string) {
	t.Helper()
	p := s.parse(t, text)
	tree := policy.NewTree(p)
	r, err := tree.Swanctl(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(s.daemon.Dir, "private")
	if err := os.MkdirAll(private, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, k := range r.Keys {
		key, err := k.From.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(private, k.Name), key.Reveal(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What was loaded over VICI goes first, so that only the file counts.
	if err := s.client.ClearCredentials(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.client.UnloadConnection(t.Context(), p.Connections[0].Name); err != nil {
		t.Fatal(err)
	}
	if err := s.daemon.Load(t.Context(), string(r.Conf)); err != nil {
		t.Fatalf("%v\n%s", err, r.Conf)
	}
	_, requests := s.plan(t, p)
	s.agrees(t, requests)
}

// TestLoadingIsADifference proves that what is new is loaded, what changed is
// replaced, what is gone is unloaded, and what is not ours is left alone.
func TestLoadingIsADifference(t *testing.T) {
	b := bench(t)
	s := newSide(t, b.B)
	root, err := lab.NewRoot("Policy Root CA", lab.ECDSA(elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	s.credentials(t, root, "responder.lab", lab.ECDSA(elliptic.P256()))
	s.put(t, "psk", []byte("lab only"))
	one := farNode + `
pools: {inner: {addresses: 10.9.0.0/24, dns: 10.2.0.1}}
peers:
  spoke: {identity: initiator.lab, auth: cert, pools: inner}
  other: {identity: other.lab, addresses: 192.0.2.77, auth: psk, psk: {file: psk}}
tunnels:
  net: {peer: spoke, local: 10.2.0.1/32}
  spare: {peer: other, local: "10.5.0.0/16[tcp/443]", remote: 10.6.0.1-10.6.0.9}
`
	first := s.load(t, one)
	for _, want := range []string{"load authority lab", "load secret ike-other", "load pool inner", "load connection spoke", "load connection other"} {
		if !slices.Contains(first, want) {
			t.Errorf("the first time: no %q in %q", want, first)
		}
	}
	two := farNode + `
peers:
  spoke: {identity: initiator.lab, auth: cert, dpd: {interval: 60s}}
tunnels:
  net: {peer: spoke, local: 10.2.0.1/32}
`
	second := s.load(t, two)
	for _, want := range []string{"keep authority lab", "replace connection spoke", "unload connection other", "unload pool inner", "unload secret ike-other"} {
		if !slices.Contains(second, want) {
			t.Errorf("the second time: no %q in %q", want, second)
		}
	}
	if err := s.client.UnloadConnection(t.Context(), "spoke"); err != nil {
		t.Fatal(err)
	}
	if third := s.load(t, two); !slices.Contains(third, "load connection spoke") {
		t.Errorf("after the daemon lost it: %q", third)
	}
	settings := &backend.Section{}
	settings.Set("version", "2")
	settings.SetList("local_addrs", "192.0.2.2")
	settings.Sub("local").Set("auth", "psk")
	settings.Sub("remote").Set("auth", "psk")
	if err := s.client.LoadConnection(t.Context(), "spoke", settings); err != nil {
		t.Fatal(err)
	}
	if fourth := s.load(t, two); !slices.Contains(fourth, "replace connection spoke") {
		t.Errorf("after somebody changed it at the daemon: %q", fourth)
	}
	last := s.load(t, "version: 1\nnode: {}\npeers: {}\n")
	for _, want := range []string{"unload connection spoke", "unload authority lab"} {
		if !slices.Contains(last, want) {
			t.Errorf("after all was taken out of the policy: no %q in %q", want, last)
		}
	}
	conns, err := s.client.Connections(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(conns) != 1 || conns[0].Name != "gw" {
		t.Errorf("the connection of others is not all that is left: %+v", conns)
	}
	for kind, left := range s.state.Loaded {
		if len(left) > 0 {
			t.Errorf("the state still has %s: %v", kind, left)
		}
	}
}
