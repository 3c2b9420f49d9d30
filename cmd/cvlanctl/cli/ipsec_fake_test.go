package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// fake is a daemon that is none, at a socket of its own.
type fake struct {
	*vicitest.Server
	source string
}

// serve starts a server and stops it with the test.
func serve(t *testing.T, s *vicitest.Server) *fake {
	t.Helper()
	dir, err := os.MkdirTemp("", "cvl-") // short: a socket's path has 107 octets
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "vici")
	if err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Close() // may be closed already
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return &fake{s, "vici:" + path}
}

// run runs a command on the daemon.
func (f *fake) run(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	return run(t, "", nil, append([]string{"ipsec", "--source", f.source}, args...)...)
}

// v and its neighbours shorten what follows.
var (
	v   = packet.Value
	sub = packet.Sub
	lst = packet.List
)

// office is a small daemon: one connection with a child that is up and one
// that is down, one connection that is down, and an SA whose configuration is
// gone. commands replace its own.
func office(t *testing.T, commands map[string]vicitest.Command) *fake {
	t.Helper()
	events := func(event string, all ...packet.Element) vicitest.Command {
		return func(c *vicitest.Call) []packet.Element {
			for _, e := range all {
				c.Raise(event, e)
			}
			return nil
		}
	}
	answer := func(all ...packet.Element) vicitest.Command {
		return func(*vicitest.Call) []packet.Element { return all }
	}
	child := func(name, local, remote string) packet.Element {
		return sub(name, v("mode", "TUNNEL"), v("rekey_time", "3600"), v("rekey_bytes", "0"), v("rekey_packets", "0"),
			v("dpd_action", "restart"), v("close_action", "none"), lst("local-ts", local), lst("remote-ts", remote))
	}
	connection := func(name, remote string, children ...packet.Element) packet.Element {
		return sub(name, lst("local_addrs", "192.0.2.1"), lst("remote_addrs", remote), v("version", "IKEv2"),
			v("reauth_time", "0"), v("rekey_time", "14400"), v("unique", "UNIQUE_NO"), v("dpd_delay", "30"),
			sub("local-1", v("id", "hub.example"), v("class", "public key"), lst("groups"), lst("certs", "C=CH, CN=hub.example"), lst("cacerts")),
			sub("remote-1", v("id", name+".example"), v("class", "EAP"), v("eap-type", "MSCHAPV2"), lst("groups"), lst("certs"), lst("cacerts")),
			sub("children", children...))
	}
	ca, err := os.ReadFile("testdata/ca.der")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]vicitest.Command{
		"version": answer(v("daemon", "charon-systemd"), v("version", "5.9.8"), v("sysname", "Linux"), v("release", "6.1"), v("machine", "x86_64")),
		"stats": answer(sub("uptime", v("running", "5 minutes"), v("since", "Mar 01 12:00:00 2026")),
			sub("workers", v("total", "16"), v("idle", "11"), sub("active", v("critical", "4"), v("high", "0"), v("medium", "1"), v("low", "0"))),
			sub("queues", v("critical", "0"), v("high", "0"), v("medium", "0"), v("low", "0")),
			v("scheduled", "3"), sub("ikesas", v("total", "2"), v("half-open", "1")), lst("plugins", "vici", "openssl", "counters"),
			sub("mallinfo", v("sbrk", "2695168"), v("mmap", "0"), v("used", "856576"), v("free", "1838592"))),
		"list-conns": events("list-conn", connection("branch", "198.51.100.7", child("lan", "10.0.0.0/16", "10.1.0.0/24"), child("voice", "10.0.0.0/16", "10.2.0.0/24")),
			connection("depot", "depot.example", child("net", "10.0.0.0/16", "10.3.0.0/24"))),
		"list-sas": events("list-sa", branchSA(), sub("old", v("uniqueid", "3"), v("version", "2"), v("state", "CONNECTING"),
			v("local-host", "192.0.2.1"), v("local-port", "500"), v("local-id", "%any"), v("remote-host", "2001:db8::9"), v("remote-port", "500"), v("remote-id", "%any"),
			v("initiator", "yes"), v("initiator-spi", "0102030405060708"), v("responder-spi", "0000000000000000"),
			lst("tasks-queued", "CHILD_CREATE"), lst("tasks-active", "IKE_INIT", "IKE_CERT_PRE"))),
		"list-certs":       events2("list-cert", []packet.Element{v("type", "X509"), v("flag", "CA"), v("data", string(ca))}, []packet.Element{v("type", "X509"), v("flag", "NONE"), v("has_privkey", "yes"), v("data", "no certificate")}),
		"list-authorities": events("list-authority", sub("corp", v("cacert", "CN=ca.example"), lst("crl_uris", "http://ca.example/crl"), lst("ocsp_uris"))),
		"list-policies": events("list-policy", sub("branch/lan", v("child", "lan"), v("ike", "branch"), v("mode", "TUNNEL"), lst("local-ts", "10.0.0.0/16"), lst("remote-ts", "10.1.0.0/24")),
			sub("printers", v("child", "printers"), v("mode", "PASS"), lst("local-ts", "10.0.0.0/16"), lst("remote-ts", "10.0.9.0/24")),
			sub("guests", v("child", "gue\x1b[31msts"), v("mode", "DROP"), v("label", "none"), lst("local-ts", "10.66.0.0/16"), lst("remote-ts", "0.0.0.0/0", "::/0"))),
		"get-pools": func(c *vicitest.Call) []packet.Element {
			entries := []packet.Element{v("base", "10.50.0.0"), v("size", "6"), v("online", "1"), v("offline", "1"), lst("INTERNAL_IP4_DNS", "10.50.0.7", "10.50.0.6")}
			if packet.Find(c.In, "leases") == "yes" {
				entries = append(entries, sub("leases", sub("0", v("address", "10.50.0.1"), v("identity", "road\x1b[31m"), v("status", "online")),
					sub("1", v("address", "10.50.0.2"), v("identity", "warrior"), v("status", "offline"))))
			}
			return []packet.Element{sub("roadwarriors", entries...)}
		},
		"get-algorithms": answer(sub("encryption", v("AES_CBC", "openssl")), sub("aead", v("AES_GCM_16", "openssl")), sub("ke", v("ECP_256", "openssl"))),
		"get-counters": func(c *vicitest.Call) []packet.Element {
			return []packet.Element{sub("counters", sub(packet.Find(c.In, "name"), v("ike-init-in-req", "7"), v("invalid-spi", "1"))), v("success", "yes")}
		},
		"reset-counters": answer(v("success", "yes")),
		"initiate":       answer(v("success", "yes")),
		"terminate":      answer(v("success", "yes"), v("matches", "1"), v("terminated", "1")),
		"rekey":          answer(v("success", "yes"), v("matches", "1")),
	}
	for name, c := range commands {
		all[name] = c
	}
	return serve(t, vicitest.NewServer(all, vicitest.DaemonEvents...))
}

func branchSA() packet.Element {
	return sub("branch", v("uniqueid", "1"), v("version", "2"), v("state", "ESTABLISHED"),
		v("local-host", "192.0.2.1"), v("local-port", "4500"), v("local-id", "hub.example"),
		v("remote-host", "198.51.100.7"), v("remote-port", "4500"), v("remote-id", "branch.example"), v("remote-eap-id", "branch"),
		v("initiator", "yes"), v("initiator-spi", "a1b2c3d4e5f60718"), v("responder-spi", "18f7e6d5c4b3a291"),
		v("nat-remote", "yes"), v("nat-any", "yes"), v("encr-alg", "AES_GCM_16"), v("encr-keysize", "256"), v("prf-alg", "PRF_HMAC_SHA2_256"),
		v("dh-group", "ECP_256"), v("established", "4000"), v("rekey-time", "10000"), lst("remote-vips", "10.50.0.1"),
		sub("child-sas", sub("lan-4", v("name", "lan"), v("uniqueid", "4"), v("reqid", "1"), v("state", "INSTALLED"), v("mode", "TUNNEL"),
			v("protocol", "ESP"), v("encap", "yes"), v("spi-in", "c0000001"), v("spi-out", "d0000001"), v("encr-alg", "AES_CBC"), v("encr-keysize", "128"),
			v("integ-alg", "HMAC_SHA2_256_128"), v("bytes-in", "0"), v("packets-in", "0"), v("bytes-out", "84000"), v("packets-out", "1000"), v("use-out", "3"),
			v("rekey-time", "3300"), v("life-time", "3960"), v("install-time", "300"), v("mark-in", "0000002a"), v("mark-mask-in", "ffffffff"),
			lst("local-ts", "10.0.0.0/16"), lst("remote-ts", "10.1.0.0/24"))))
}

// events2 raises events that have no section around them.
func events2(event string, all ...[]packet.Element) vicitest.Command {
	return func(c *vicitest.Call) []packet.Element {
		for _, e := range all {
			c.Raise(event, e...)
		}
		return nil
	}
}

// masks are what differs from run to run: the socket, times, the seconds since
// the beginning of an action.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`vici:/\S*/vici`), "vici:SOCKET"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "CLOCK"},
	{regexp.MustCompile(`(?m)^(running +)for .*$`), "${1}for SOME TIME"},
	{regexp.MustCompile(`(?m)^ +\d+\.\d{3} `), "    0.000 "},
	{regexp.MustCompile(`"duration": [\d.]+`), `"duration": 0.001`},
	{regexp.MustCompile(`(?m)^(\s*)for \d+ d .*$`), "${1}for SOME TIME"},
}

func masked(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.with)
	}
	return s
}

// forms are the listings, and the schemas of their documents and lines.
var forms = []struct {
	name, kind, item string
	args             []string
}{
	{"status", "status", "tunnel_state", []string{"status"}},
	{"list-sas", "sas", "ike_sa", []string{"list-sas"}},
	{"list-conns", "conns", "connection", []string{"list-conns"}},
	{"list-certs", "certs", "cert", []string{"list-certs"}},
	{"list-pols", "policies", "policy", []string{"list-pols"}},
	{"list-pools", "pools", "pool", []string{"list-pools", "--leases"}},
	{"list-algs", "algs", "algorithm", []string{"list-algs"}},
	{"counters", "counters", "counters", []string{"counters", "--all"}},
	{"stats", "stats", "", []string{"stats"}},
}

// TestWhatAnOperatorReadsOfADaemon holds text and JSON of every listing in
// golden files, and every document and line against its schema.
func TestWhatAnOperatorReadsOfADaemon(t *testing.T) {
	t.Setenv("TZ", "UTC")
	f := office(t, nil)
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			for _, output := range []string{"table", "wide", "json", "jsonl", "yaml"} {
				code, out, errs := f.run(t, append(form.args, "-o", output)...)
				if code != exitFine {
					t.Fatalf("-o %s: exit code %d: %s", output, code, errs)
				}
				switch output {
				case "table":
					golden(t, "ipsec/"+form.name+".txt", masked(out))
				case "wide":
					golden(t, "ipsec/"+form.name+"-wide.txt", masked(out))
				case "json":
					golden(t, "ipsec/"+form.name+".json", masked(out))
				}
				holds(t, form.kind, form.item, output, out)
				if strings.ContainsRune(out, '\x1b') {
					t.Errorf("-o %s: an escape sequence of a stranger comes through", output)
				}
			}
		})
	}
}

// holds holds a document or its lines against the schema of its kind.
func holds(t *testing.T, kind, item, output, out string) {
	t.Helper()
	switch output {
	case "json":
		if err := validate(schema(t, kind, ""), []byte(out)); err != nil {
			t.Errorf("-o json: %v\n%s", err, out)
		}
	case "jsonl":
		s := schema(t, kind, item)
		n := 0
		for line := range bytes.Lines([]byte(out)) {
			n++
			if err := validate(s, line); err != nil {
				t.Errorf("-o jsonl, line %d: %v\n%s", n, err, line)
			}
		}
		if n == 0 {
			t.Error("-o jsonl: no line")
		}
	}
}

// onScreen runs a command on a terminal until stop says that its output has
// what was wanted, and gives exit code and output.
func onScreen(t *testing.T, tty bool, enough func(string) bool, args ...string) (int, string, string) {
	t.Helper()
	screen, _, errs := term.Test("", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out := &watched{enough: enough, cancel: cancel}
	screen.Out, screen.OutTTY, screen.Width = out, tty, 0
	code := NewApp(screen).run(ctx, args)
	return code, string(out.text), errs.String()
}

// watched is an output that interrupts its writer when it has enough.
type watched struct {
	text   []byte
	enough func(string) bool
	cancel func()
}

// Write keeps p.
func (w *watched) Write(p []byte) (int, error) {
	w.text = append(w.text, p...)
	if w.enough(string(w.text)) {
		w.cancel()
	}
	return len(p), nil
}

// controlLog makes the lines of a log, each "GRP text" of a level.
func controlLog(c *vicitest.Call, event string, lines ...string) {
	for _, line := range lines {
		group, text, _ := strings.Cut(line, " ")
		c.Raise(event, v("group", group), v("level", "1"), v("thread", "7"), v("ikesa-name", "branch"), v("ikesa-uniqueid", "1"), v("msg", text))
	}
}

func refuse(why string) []packet.Element {
	return []packet.Element{v("success", "no"), v("errmsg", fmt.Sprintf("establishing CHILD_SA '%s' failed", why))}
}
