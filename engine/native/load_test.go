package native_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/native/nativetest"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/lab"
)

// bare starts an engine without a connection.
func bare(t *testing.T) *started {
	t.Helper()
	return start(t, &policy.Policy{}, func(o *native.Options) { o.Local = netip.MustParseAddr("127.0.0.1") })
}

// join gives the settings of the side own of a tunnel between a and b; words are
// more of them. A port is where the other side is.
func join(own, other string, port uint16, words ...string) *backend.Section {
	left, right := "10.1.0.0/24", "10.2.0.0/24"
	if own > other {
		left, right = right, left
	}
	s := nativetest.Section(append([]string{"local.auth=psk", "remote.auth=psk", "local.id=" + own + ".example", "remote.id=" + other + ".example",
		"children.net.local_ts=" + left, "children.net.remote_ts=" + right}, words...)...)
	if port != 0 {
		s.Set("remote_addrs", "127.0.0.1")
		s.Set("remote_port", fmt.Sprint(port))
	}
	return s
}

func load(t *testing.T, s *started, name string, settings *backend.Section) {
	t.Helper()
	if err := s.LoadConnection(limited(t), name, settings); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionsAndSecretsAreLoadedInAnyOrderAndTakenOutAgain(t *testing.T) {
	a, b := bare(t), bare(t)
	load(t, a, "gw", join("a", "b", b.LocalAddr().Port()))
	load(t, b, "gw", join("b", "a", 0))
	target := backend.Target{IKE: "gw", Child: "net"}
	if err := a.Up(limited(t), target, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("without a secret: %v", err)
	}
	for _, s := range []*started{a, b} {
		for _, secret := range []backend.Secret{
			{ID: "one", Type: "IKE", Data: []byte("wrong"), Owners: []string{"a.example", "b.example"}},
			{ID: "one", Type: "ike", Data: []byte("right"), Owners: []string{"a.example", "%any"}},
			{ID: "password", Type: "EAP", Data: []byte("x"), Owners: []string{"not an = identity"}},
		} {
			if err := s.LoadSecret(limited(t), secret); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.up(t, "net")
	b.until(t, "the tunnel is up on both sides", func() bool { return a.one(t, "net") && b.plane.Installed() == 1 })
	if c, err := a.Credentials(limited(t)); err != nil || !slices.Equal(c.Secrets, []string{"one", "password"}) {
		t.Errorf("credentials %+v, %v", c, err)
	}

	// What is replaced or unloaded leaves its SAs alone.
	load(t, a, "gw", join("a", "b", b.LocalAddr().Port(), "rekey_time=2h"))
	conns, err := a.Connections(limited(t))
	if err != nil || len(conns) != 1 || conns[0].RekeyTime.Or(0) != 2*time.Hour || !conns[0].Loaded.Or(false) {
		t.Errorf("connections %+v, %v", conns, err)
	}
	if err := a.UnloadConnection(limited(t), "gw"); err != nil {
		t.Fatal(err)
	}
	if !a.one(t, "net") {
		t.Errorf("after unloading: %+v", a.sas(t))
	}
	if err := a.Up(limited(t), target, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) || !strings.Contains(err.Error(), "no connection") {
		t.Errorf("up of what is unloaded: %v", err)
	}
	if err := a.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}

	// Without its secret nothing comes up any more.
	load(t, a, "gw", join("a", "b", b.LocalAddr().Port()))
	if err := a.UnloadSecret(limited(t), "one"); err != nil {
		t.Fatal(err)
	}
	if err := a.Up(limited(t), target, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("with its secret unloaded: %v", err)
	}
}

func TestALoadedConnectionThatIsToStartComesUp(t *testing.T) {
	a, b := bare(t), bare(t)
	for _, s := range []*started{a, b} {
		if err := s.LoadSecret(limited(t), backend.Secret{Type: "IKE", Data: []byte("of all")}); err != nil {
			t.Fatal(err)
		}
	}
	load(t, b, "gw", join("b", "a", 0))
	load(t, a, "gw", join("a", "b", b.LocalAddr().Port(), "children.net.start_action=start"))
	a.until(t, "the tunnel is up by itself", func() bool { return a.one(t, "net") })
}

// party is a side with a certificate.
type party struct{ root, middle, leaf *lab.Identity }

func newParty(t *testing.T, root *lab.Identity, name string) party {
	t.Helper()
	middle, err := root.NewIntermediate("Middle of "+name, lab.ECDSA(elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := middle.NewLeaf(name, lab.ECDSA(elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	return party{root, middle, leaf}
}

func newRoot(t *testing.T) *lab.Identity {
	t.Helper()
	root, err := lab.NewRoot("Root", lab.ECDSA(elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func keyOf(t *testing.T, id *lab.Identity) []byte {
	t.Helper()
	b, err := id.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// certPolicy writes the files of a party and gives its side of a policy.
func certPolicy(t *testing.T, p party, own, other string, port uint16, more string) *policy.Policy {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"own.crt": p.leaf.CertPEM(), "own.key": keyOf(t, p.leaf), "middle.crt": p.middle.CertPEM(), "root.crt": p.root.CertPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := ""
	if port != 0 {
		at = fmt.Sprintf("addresses: 127.0.0.1, port: %d, ", port)
	}
	text := fmt.Sprintf(`version: 1
node: {%saddresses: 127.0.0.1, certificate: own.crt, key: {file: own.key}, intermediates: [middle.crt]}
authorities: {root: {certificate: root.crt, crl: ["http://127.0.0.1/crl"]}}
peers:
  gw: {%sidentity: %s, auth: cert%s}
tunnels:
  net: {peer: gw}
`, own, at, other, more)
	parsed, findings := policy.Parse(t.Context(), "policy.yaml", []byte(text), policy.Options{Dir: dir})
	if parsed == nil {
		t.Fatal(findings)
	}
	return parsed
}

func TestPoliciesWithCertificatesComeUp(t *testing.T) {
	root := newRoot(t)
	pa, pb := newParty(t, root, "a.example"), newParty(t, root, "b.example")
	b := start(t, certPolicy(t, pb, "identity: b.example, ", "a.example", 0, ""), nil)
	a := start(t, certPolicy(t, pa, "identity: a.example, ", "b.example", b.LocalAddr().Port(), ""), nil)
	a.up(t, "net")
	if !a.one(t, "net") {
		t.Fatalf("%+v", a.sas(t))
	}
	certs, err := a.Certificates(limited(t))
	if err != nil || len(certs) != 3 {
		t.Fatalf("certificates %+v, %v", certs, err)
	}
	for i, want := range []struct {
		flag string
		key  bool
		id   *lab.Identity
	}{{"NONE", true, pa.leaf}, {"CA", false, root}, {"CA", false, pa.middle}} {
		if c := certs[i]; c.Flag != want.flag || c.HasKey != want.key || string(c.Data) != string(want.id.Cert.Raw) {
			t.Errorf("certificate %d: flag %s, key %t", i, c.Flag, c.HasKey)
		}
	}
	list, err := a.Authorities(limited(t))
	if err != nil || len(list) != 1 || list[0].Name != "root" || !strings.Contains(list[0].CACert, "CN=Root") || len(list[0].CRLURIs) != 1 {
		t.Errorf("authorities %+v, %v", list, err)
	}
	conns, err := a.Connections(limited(t))
	if err != nil || conns[0].Loaded.Or(true) || conns[0].Local[0].Class != "public key" || len(conns[0].Local[0].Certs) != 1 || len(conns[0].Remote[0].CACerts) != 1 {
		t.Errorf("connections %+v, %v", conns[0], err)
	}
	if c, err := a.Credentials(limited(t)); err != nil || len(c.Keys)+len(c.Secrets) != 0 {
		t.Errorf("what the policy brings was not loaded: %+v, %v", c, err)
	}

	// A stranger of another root, and a certificate's subject as identity.
	other := newParty(t, newRoot(t), "a.example")
	stranger := start(t, certPolicy(t, other, "identity: a.example, ", "b.example", b.LocalAddr().Port(), ""), nil)
	if err := stranger.Up(limited(t), backend.Target{Child: "net"}, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("a stranger: %v", err)
	}
	pc := newParty(t, root, "c.example")
	byName := start(t, certPolicy(t, pc, "", "b.example", b.LocalAddr().Port(), ""), nil)
	err = byName.Up(limited(t), backend.Target{Child: "net"}, backend.UpOptions{}, nil)
	if got := byName.Engine; err == nil || got == nil {
		t.Errorf("the responder wants a.example and takes %v", err)
	}
	if conns, err := byName.Connections(limited(t)); err != nil || !strings.Contains(conns[0].Local[0].ID, "CN=c.example") {
		t.Errorf("identity %+v, %v", conns[0].Local[0], err)
	}
}

func TestWhatACertificatePolicyCannotHaveIsSaidAtTheStart(t *testing.T) {
	root := newRoot(t)
	p := newParty(t, root, "a.example")
	for says, change := range map[string]func(*policy.Policy){
		"revocation strict": func(p *policy.Policy) { p.Connections[0].Remote.Revocation = "strict" },
		"eap-tls":           func(p *policy.Policy) { p.Connections[0].Local.Method = policy.EAPTLS },
		"missing.crt":       func(p *policy.Policy) { p.Connections[0].Local.Certificate = "/nowhere/missing.crt" },
		"missing.key":       func(p *policy.Policy) { p.Connections[0].Local.Key = policy.SecretRef{File: "/nowhere/missing.key"} },
		"no private key in": func(p *policy.Policy) {
			p.Connections[0].Local.Key = policy.SecretRef{File: p.Connections[0].Local.Certificate}
		},
		"does not fit":      func(p *policy.Policy) { p.Connections[0].Local.Certificate = p.Authorities[0].Certificate },
		"no certificate in": func(p *policy.Policy) { p.Connections[0].Remote.Certificate = p.Connections[0].Local.Key.File },
		"authority root: ":  func(p *policy.Policy) { p.Authorities[0].Certificate = "/nowhere/root.crt"; p.Connections = nil },
		"owner of the presh": func(p *policy.Policy) {
			p.Connections[0].Credentials = []policy.Credential{{Owners: []string{"@#0"}, Secret: p.Connections[0].Local.Key}}
		},
		"MORE_THAN_SET": func(p *policy.Policy) {
			p.Connections[0].Credentials = []policy.Credential{{Secret: policy.SecretRef{Env: "MORE_THAN_SET"}}}
		},
	} {
		pol := certPolicy(t, p, "identity: a.example, ", "b.example", 500, "")
		change(pol)
		e, err := native.Start(t.Context(), native.Options{Policy: pol, Local: netip.MustParseAddr("127.0.0.1")})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
		if e != nil {
			t.Error(e.Close())
		}
	}
}

func TestCertificatesKeysAndAuthoritiesAreLoadedByCommand(t *testing.T) {
	root := newRoot(t)
	pa, pb := newParty(t, root, "a.example"), newParty(t, root, "b.example")
	b := start(t, certPolicy(t, pb, "identity: b.example, ", "a.example", 0, ""), nil)
	a := bare(t)
	load(t, a, "gw", nativetest.Section("remote_addrs=127.0.0.1", fmt.Sprint("remote_port=", b.LocalAddr().Port()), "local.id=a.example", "remote.id=b.example", "children.net.mode=tunnel"))
	for _, c := range []backend.CertificateData{
		{Type: "X509", Flag: "NONE", Data: pa.leaf.CertPEM()}, {Type: "X509", Flag: "NONE", Data: pa.leaf.Cert.Raw},
		{Type: "X509", Flag: "NONE", Data: pa.middle.CertPEM()}, {Type: "X509", Flag: "CA", Data: root.Cert.Raw},
	} {
		if err := a.LoadCertificate(limited(t), c); err != nil {
			t.Fatal(err)
		}
	}
	id, err := a.LoadKey(limited(t), backend.KeyData{Type: "any", Data: keyOf(t, pa.leaf)})
	if err != nil || len(id) != 40 {
		t.Fatalf("key %q, %v", id, err)
	}
	a.up(t, "net")
	if certs, err := a.Certificates(limited(t)); err != nil || len(certs) != 3 || !certs[0].HasKey {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	if c, err := a.Credentials(limited(t)); err != nil || !slices.Equal(c.Keys, []string{id}) {
		t.Errorf("credentials %+v, %v", c, err)
	}
	down := func() {
		t.Helper()
		if err := a.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	down()

	// The same with an authority by name, the certificate in the section, and
	// the peer's certificate pinned.
	if err := errors.Join(a.ClearCredentials(limited(t)), a.FlushCertificates(limited(t), "")); err != nil {
		t.Fatal(err)
	}
	if certs, err := a.Certificates(limited(t)); err != nil || len(certs) != 0 {
		t.Errorf("%d certificates after all were cleared, %v", len(certs), err)
	}
	authority := nativetest.Section("cert_uri_base=http://127.0.0.1")
	authority.Set("cacert", string(root.CertPEM()))
	authority.SetList("crl_uris", "http://127.0.0.1/crl")
	authority.SetList("ocsp_uris", "http://127.0.0.1/ocsp")
	if err := a.LoadAuthority(limited(t), "root", authority); err != nil {
		t.Fatal(err)
	}
	if list, err := a.Authorities(limited(t)); err != nil || len(list) != 1 || list[0].CertURIBase == "" {
		t.Errorf("authorities %+v, %v", list, err)
	}
	if _, err := a.LoadKey(limited(t), backend.KeyData{Data: keyOf(t, pa.leaf)}); err != nil {
		t.Fatal(err)
	}
	s := nativetest.Section("remote_addrs=127.0.0.1", fmt.Sprint("remote_port=", b.LocalAddr().Port()), "remote.id=b.example", "local.id=a.example", "children.net.mode=tunnel")
	s.Sub("local").SetList("certs", string(pa.leaf.CertPEM())+string(pa.middle.CertPEM()))
	load(t, a, "gw", s)
	a.up(t, "net")
	down()
	if err := a.UnloadAuthority(limited(t), "root"); err != nil {
		t.Fatal(err)
	}
	target := backend.Target{IKE: "gw", Child: "net"}
	if err := a.Up(limited(t), target, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("with nobody to believe: %v", err)
	}
	s.Sub("remote").SetList("certs", string(pb.leaf.CertPEM()))
	load(t, a, "gw", s)
	a.up(t, "net")
	down()
	s.Sub("remote").SetList("certs", string(pa.leaf.CertPEM()))
	load(t, a, "gw", s)
	if err := a.Up(limited(t), target, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("with another certificate pinned: %v", err)
	}
	s = nativetest.Section("remote_addrs=127.0.0.1", fmt.Sprint("remote_port=", b.LocalAddr().Port()), "remote.id=b.example", "local.id=a.example", "children.net.mode=tunnel")
	s.Sub("local").SetList("certs", string(pa.leaf.CertPEM())+string(pa.middle.CertPEM()))
	s.Sub("remote").SetList("cacerts", string(root.CertPEM()))
	load(t, a, "gw", s)
	a.up(t, "net")
	down()
	if err := a.UnloadKey(limited(t), strings.ToUpper(id)); err != nil {
		t.Fatal(err)
	}
	if err := a.Up(limited(t), target, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("without a key: %v", err)
	}
}

// TestOneSideMayHaveACertificateAndTheOtherASecret proves the two methods side
// by side (RFC 7296 2.15).
func TestOneSideMayHaveACertificateAndTheOtherASecret(t *testing.T) {
	p := newParty(t, newRoot(t), "a.example")
	a, b := bare(t), bare(t)
	for _, s := range []*started{a, b} {
		if err := s.LoadSecret(limited(t), backend.Secret{Type: "IKE", Data: []byte("of b")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.LoadKey(limited(t), backend.KeyData{Data: keyOf(t, p.leaf)}); err != nil {
		t.Fatal(err)
	}
	sa := join("a", "b", b.LocalAddr().Port(), "local.auth=pubkey")
	sa.Sub("local").SetList("certs", string(p.leaf.CertPEM())+string(p.middle.CertPEM()))
	sb := join("b", "a", 0, "remote.auth=pubkey")
	sb.Sub("remote").SetList("cacerts", string(p.root.CertPEM()))
	load(t, a, "gw", sa)
	load(t, b, "gw", sb)
	a.up(t, "net")
}

// crl gives a revocation list of a root.
func crl(t *testing.T, root *lab.Identity) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, root.Cert, root.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestWhatCannotBeLoadedIsRefusedWithAReason(t *testing.T) {
	root := newRoot(t)
	leaf := newParty(t, root, "a.example").leaf
	a := start(t, loadPolicy(t, policyOf("a", "b", 500, "none"), "lab only"), nil)
	ctx := limited(t)
	bad := nativetest.Section("local.auth=psk", "remote.auth=psk")
	bad.Sub("remote").SetList("certs", "no certificate")
	many := nativetest.Section("local.auth=psk", "remote.auth=psk", "local.id=x")
	many.Sub("children").Sub("net").SetList("local_ts", slices.Repeat([]string{"10.0.0.0/8"}, 256)...)
	for _, row := range []struct {
		name, says string
		kind       error
		err        error
	}{
		{"a connection of the policy's", "comes from the policy file", backend.ErrRefused, a.LoadConnection(ctx, "gw", join("a", "b", 500))},
		{"unloading one of the policy's", "comes from the policy file", backend.ErrRefused, a.UnloadConnection(ctx, "gw")},
		{"unloading none", "not found", backend.ErrRefused, a.UnloadConnection(ctx, "none")},
		{"an unknown setting", "colour", backend.ErrRefused, a.LoadConnection(ctx, "x", nativetest.Section("colour=red"))},
		{"other addresses", "speaks from 127.0.0.1 alone", backend.ErrUnsupported, a.LoadConnection(ctx, "x", nativetest.Section("local_addrs=192.0.2.1, no.such.host.invalid"))},
		{"a certificate that is none", "certs of remote", backend.ErrRefused, a.LoadConnection(ctx, "x", bad)},
		{"EAP", "eap-tls", backend.ErrUnsupported, a.LoadConnection(ctx, "x", nativetest.Section("local.auth=eap-tls"))},
		{"a bad identity", "identity", nil, a.LoadConnection(ctx, "x", nativetest.Section("local.auth=psk", "local.id=@#0"))},
		{"too many selectors", "at most 255", backend.ErrRefused, a.LoadConnection(ctx, "x", many)},
		{"a key that is none", "no private key", backend.ErrRefused, second(a.LoadKey(ctx, backend.KeyData{Data: []byte("x")}))},
		{"unloading no key", "key not found", backend.ErrRefused, a.UnloadKey(ctx, "00")},
		{"a secret of no kind", "invalid shared key type", backend.ErrRefused, a.LoadSecret(ctx, backend.Secret{Type: "x", Data: []byte("x")})},
		{"an empty secret", "empty", backend.ErrRefused, a.LoadSecret(ctx, backend.Secret{Type: "IKE"})},
		{"a secret of nobody", "owner", backend.ErrRefused, a.LoadSecret(ctx, backend.Secret{Type: "IKE", Data: []byte("x"), Owners: []string{"@#0"}})},
		{"a PPK", "RFC 8784", backend.ErrUnsupported, a.LoadSecret(ctx, backend.Secret{Type: "PPK", Data: []byte("x")})},
		{"unloading no secret", "not found", backend.ErrRefused, a.UnloadSecret(ctx, "none")},
		{"no certificate", "parsing X509", backend.ErrRefused, a.LoadCertificate(ctx, backend.CertificateData{Type: "X509", Data: []byte("x")})},
		{"an authority that is none", "basic constraint", backend.ErrRefused, a.LoadCertificate(ctx, backend.CertificateData{Type: "X509", Flag: "CA", Data: leaf.Cert.Raw})},
		{"an attribute certificate", "X509_AC", backend.ErrUnsupported, a.LoadCertificate(ctx, backend.CertificateData{Type: "X509_AC", Data: []byte("x")})},
		{"a certificate for OCSP", "OCSP", backend.ErrUnsupported, a.LoadCertificate(ctx, backend.CertificateData{Type: "X509", Flag: "OCSP", Data: leaf.Cert.Raw})},
		{"no CRL", "X509_CRL", backend.ErrRefused, a.LoadCertificate(ctx, backend.CertificateData{Type: "X509_CRL", Data: []byte("x")})},
		{"an authority without a certificate", "missing", backend.ErrRefused, a.LoadAuthority(ctx, "x", nil)},
		{"an authority with a bad one", "cacert", backend.ErrRefused, a.LoadAuthority(ctx, "x", nativetest.Section("cacert=x"))},
		{"an authority on a token", "handle", backend.ErrUnsupported, a.LoadAuthority(ctx, "x", nativetest.Section("handle=x"))},
		{"unloading no authority", "not found", backend.ErrRefused, a.UnloadAuthority(ctx, "none")},
		{"counters of nobody", "no counters", backend.ErrRefused, second(a.Counters(ctx, "none"))},
		{"resetting counters of nobody", "no counters", backend.ErrRefused, a.ResetCounters(ctx, "none")},
	} {
		if row.err == nil || row.kind != nil && !errors.Is(row.err, row.kind) || !strings.Contains(row.err.Error(), row.says) {
			t.Errorf("%s: %v", row.name, row.err)
		}
	}
	if err := a.LoadCertificate(ctx, backend.CertificateData{Type: "X509_CRL", Data: crl(t, root)}); err != nil {
		t.Error(err)
	}
	if certs, err := a.Certificates(ctx); err != nil || len(certs) != 1 || certs[0].Type != "X509_CRL" {
		t.Errorf("certificates %+v, %v", certs, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestCountersCountMessagesAndRekeyings(t *testing.T) {
	a, b := pair(t, nil)
	a.up(t, "net")
	if _, err := a.DPD(limited(t), "gw", nil); err != nil {
		t.Fatal(err)
	}
	first := a.sas(t)[0]
	if _, err := a.Rekey(limited(t), backend.Target{Child: "net"}, backend.RekeyOptions{}); err != nil {
		t.Fatal(err)
	}
	a.until(t, "the child is replaced", func() bool { return a.one(t, "net") && a.sas(t)[0].Children[0].SPIIn != first.Children[0].SPIIn })
	if _, err := b.Rekey(limited(t), backend.Target{IKE: "gw"}, backend.RekeyOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until(t, "the IKE SA is replaced", func() bool { return b.one(t, "net") && b.sas(t)[0].InitiatorSPI != first.InitiatorSPI })
	a.until(t, "so it is at the other side", func() bool { return a.one(t, "net") && a.sas(t)[0].InitiatorSPI != first.InitiatorSPI })
	counts := func(s *started, name string) map[string]uint64 {
		t.Helper()
		c, err := s.Counters(limited(t), name)
		if err != nil || len(c.Counts) != 21 || c.Connection != name {
			t.Fatalf("counters %+v, %v", c, err)
		}
		return c.Counts
	}
	for _, name := range []string{"", "gw"} {
		for key, want := range map[string]uint64{
			"ike-init-out-req": 1, "ike-init-in-resp": 1, "ike-auth-out-req": 1, "ike-auth-in-resp": 1, "ike-auth-in-req": 0,
			"create-child-out-req": 1, "create-child-in-resp": 1, "create-child-in-req": 1, "create-child-out-resp": 1,
			"child-rekey": 1, "ike-rekey-resp": 1, "ike-rekey-init": 0, "invalid": 0, "invalid-spi": 0,
		} {
			if got := counts(a, name)[key]; got != want {
				t.Errorf("%q: %s is %d, want %d", name, key, got, want)
			}
		}
	}
	if c := counts(b, ""); c["ike-init-in-req"] != 1 || c["ike-rekey-init"] != 1 || c["info-in-req"] == 0 {
		t.Errorf("the other side: %v", c)
	}
	if err := a.ResetCounters(limited(t), "gw"); err != nil {
		t.Fatal(err)
	}
	if n, all := counts(a, "gw")["ike-init-out-req"], counts(a, "")["ike-init-out-req"]; n != 0 || all != 1 {
		t.Errorf("after the reset of one: %d, and %d of all", n, all)
	}
	if err := a.ResetCounters(limited(t), ""); err != nil || counts(a, "")["ike-init-out-req"] != 0 {
		t.Errorf("after the reset of all: %v", err)
	}
}

func TestAlgorithmsAreListedByTheNamesOfTheirTransforms(t *testing.T) {
	a, _ := pair(t, nil)
	list, err := a.Algorithms(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []engine.Algorithm{
		{Kind: "encryption", Name: "AES_CBC"}, {Kind: "aead", Name: "AES_GCM_16"}, {Kind: "aead", Name: "CHACHA20_POLY1305"},
		{Kind: "integrity", Name: "HMAC_SHA2_256_128"}, {Kind: "prf", Name: "PRF_HMAC_SHA2_512"}, {Kind: "ke", Name: "CURVE_25519"}, {Kind: "ke", Name: "MODP_2048"},
	} {
		if !slices.ContainsFunc(list, func(got engine.Algorithm) bool {
			return got.Kind == want.Kind && got.Name == want.Name && got.Plugin != ""
		}) {
			t.Errorf("%+v is missing in %+v", want, list)
		}
	}
	for _, a := range list {
		if strings.HasPrefix(a.Name, "UNKNOWN") || a.Name == "" {
			t.Errorf("%+v has no name", a)
		}
	}
}
