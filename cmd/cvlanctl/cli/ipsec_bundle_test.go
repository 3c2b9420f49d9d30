package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// planted is a secret of 32 octets, and every way in which it may be written.
const planted = "Planted-S3cret-of-the-test-0001!"

// spellings gives the planted secret as text, as hexadecimal in one piece and
// in the lines of 16 octets that charon writes, and in base64.
func spellings() []string {
	b := []byte(planted)
	l := []string{planted, planted[:16], planted[16:], base64.StdEncoding.EncodeToString(b)}
	for _, half := range [][]byte{b, b[:16], b[16:]} {
		l = append(l, hex.EncodeToString(half), strings.ToUpper(hex.EncodeToString(half)), fmt.Sprintf("% X", half), fmt.Sprintf("% x", half), fmt.Sprintf("%v", half))
	}
	return l
}

// TestNoSecretStandsInABundleWhereverItWasPlanted plants one in the daemon's
// log in every way that charon writes keys, in fields of VICI that nobody asked
// for, in the daemon's key folders and in this program's environment. Every
// document of the bundle meets its schema.
func TestNoSecretStandsInABundleWhereverItWasPlanted(t *testing.T) {
	t.Setenv("CVLAN_PLANTED", planted)
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write("swanctl/private/own.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	write("swanctl/private/psk.txt", []byte(planted))
	write("swanctl/x509/none.pem", []byte(planted))
	var log bytes.Buffer
	for i, text := range []string{
		"initiating IKE_SA branch[1] to 198.51.100.7",
		"shared key => 32 bytes @ 0x7f00", "  0: " + fmt.Sprintf("% X", planted[:16]) + "  " + planted[:16], " 16: " + fmt.Sprintf("% X", planted[16:]) + "  " + planted[16:],
		"SK_d secret => 32 bytes @ 0x7f01", "   0: " + fmt.Sprintf("% x", planted[:16]),
		"using secret '" + planted + "'", "EAP password is " + planted, "loaded IKE shared key with id 'ike-1' secret " + planted,
		"KEYMAT => " + hex.EncodeToString([]byte(planted)), "MSK " + planted, "SKEYSEED " + planted, "psk " + planted, "private key => " + planted,
	} {
		fmt.Fprintf(&log, "2026-03-01 12:00:%02d 05[IKE] <branch|1> %s\n", i, text)
	}
	write("charon.log", log.Bytes())
	f := office(t, map[string]vicitest.Command{
		"list-policies": func(c *vicitest.Call) []packet.Element {
			c.Raise("list-policy", sub("depot/net", v("child", "net"), v("ike", "depot"), v("mode", "TUNNEL"), v("secret", planted), lst("local-ts", "10.0.0.0/16"), lst("remote-ts", "10.3.0.0/24")))
			return nil
		},
		"list-authorities": func(c *vicitest.Call) []packet.Element {
			c.Raise("list-authority", sub("corp", v("cacert", "CN=ca.example"), v("passphrase", planted), lst("crl_uris"), lst("ocsp_uris")))
			return nil
		},
		"version": func(*vicitest.Call) []packet.Element {
			return []packet.Element{v("daemon", "charon"), v("version", "5.9.8"), v("sysname", "Linux"), v("release", "6.1"), v("machine", "x86_64"), v("key", planted)}
		},
	})
	name := filepath.Join(t.TempDir(), "case.tar.gz")
	code, _, errs := f.run(t, "--daemon-log", filepath.Join(dir, "charon.log"), "bundle", "--file", name, "--listen", "50ms", "--swanctl-dir", filepath.Join(dir, "swanctl"), "--since", "1000000h")
	if code != exitFine {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	files := untar(t, name)
	if !bytes.Contains(files["log.txt"], []byte("initiating IKE_SA branch")) || !bytes.Contains(files["policies.json"], []byte("10.3.0.0/24")) {
		t.Errorf("the bundle tells nothing: %s %s", files["log.txt"], files["policies.json"])
	}
	for file, kind := range map[string]string{
		"diagnosis.json": "diagnosis", "status.json": "status", "sas.json": "sas", "connections.json": "conns", "certificates.json": "certs", "algorithms.json": "algs",
		"pools.json": "pools", "stats.json": "stats", "counters.json": "counters", "policies.json": "policies", "host.json": "host",
	} {
		b := files[file]
		if b == nil && file != "host.json" { // the fake daemon's addresses are none of this host
			t.Errorf("%s is missing", file)
			continue
		}
		if b != nil {
			holds(t, kind, "", "json", string(b))
		}
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	secrets := append(spellings(), base64.StdEncoding.EncodeToString(pkcs8), hex.EncodeToString(scalar), base64.StdEncoding.EncodeToString(scalar))
	for file, b := range files {
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds the planted secret as %q:\n%s", file, s, b)
			}
		}
	}
}

// TestWhatIsSeenOfThisHostMeetsItsSchema holds for whatever is here.
func TestWhatIsSeenOfThisHostMeetsItsSchema(t *testing.T) {
	h := probe.Host(t.Context(), probe.Options{Wait: time.Millisecond, Certificates: true, Swanctl: t.TempDir()})
	h.States = append(h.States, diag.HostState{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SPI: 0xc0000001, Proto: "esp"})
	h.Policies = append(h.Policies, diag.HostPolicy{Dir: "out", Src: netip.MustParsePrefix("10.1.0.0/24"), Dst: netip.MustParsePrefix("10.2.0.0/24"), Tunnel: true})
	h.Certificates = append(h.Certificates, diag.HostCertificate{Path: "x", NotAfter: h.At}, diag.HostCertificate{Path: "y", Problem: "no certificate"})
	h.Routes = append(h.Routes, diag.HostRoute{Table: 254, Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.9"), Type: "unicast"})
	h.Chains = append(h.Chains, diag.HostChain{Table: "ip nat", Name: "POSTROUTING", Hook: "postrouting", Rules: []diag.HostRule{{Text: "masquerade"}}})
	b, err := json.Marshal(doc.NewHost(h))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, "host", "", "json", string(b))
}
