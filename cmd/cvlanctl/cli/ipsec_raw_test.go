package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// raw is a section of what `swanctl --raw` prints: values are strings, lists
// of strings, or sections.
type raw map[string]any

// nextRaw is where a value without brackets ends: before the next entry, or
// before the end of its section.
var nextRaw = regexp.MustCompile(` [^ ={}\[\]]*(?:=| \{)|\}`)

// parseRaw reads the entries of a section and gives what follows it.
func parseRaw(t *testing.T, s string) (raw, string) {
	t.Helper()
	section := raw{}
	for {
		s = strings.TrimLeft(s, " ")
		if s == "" || s[0] == '}' {
			return section, strings.TrimPrefix(s, "}")
		}
		i := strings.IndexAny(s, "={")
		if i < 0 {
			t.Fatalf("swanctl --raw: %q is no entry", s)
		}
		name := strings.TrimSuffix(s[:i], " ")
		switch {
		case s[i] == '{':
			section[name], s = parseRaw(t, s[i+1:])
		case strings.HasPrefix(s[i+1:], "["):
			text, rest, _ := strings.Cut(s[i+2:], "]")
			section[name], s = strings.Fields(text), rest
		default:
			s = s[i+1:]
			end := len(s)
			if m := nextRaw.FindStringIndex(s); m != nil {
				end = m[0]
			}
			section[name], s = s[:end], s[end:]
		}
	}
}

// swanctl gives the messages of a kind ("list-sa event", "stats reply") that
// `swanctl --raw` prints.
func (r *real) swanctl(t *testing.T, kind string, args ...string) []raw {
	t.Helper()
	out, err := r.A.Swanctl(t.Context(), append(args, "--raw")...)
	if err != nil {
		t.Fatal(err)
	}
	var all []raw
	for line := range strings.Lines(out) {
		if body, ok := strings.CutPrefix(strings.TrimSpace(line), kind+" {"); ok {
			section, _ := parseRaw(t, body)
			all = append(all, section)
		}
	}
	if len(all) == 0 {
		t.Fatalf("swanctl %v tells no %s: %s", args, kind, out)
	}
	return all
}

// compare holds what swanctl said against our JSON, field by field. Fields of
// one that the other lacks are an error, so that neither forgets.
type compare struct {
	t    *testing.T
	at   string
	raw  raw
	have map[string]any
	asof time.Time
	seen map[string]bool
}

func (c *compare) child(at string, r raw, have any) *compare {
	c.t.Helper()
	m, ok := have.(map[string]any)
	if !ok {
		c.t.Fatalf("%s/%s: our JSON has %T", c.at, at, have)
	}
	return &compare{c.t, c.at + "/" + at, r, m, c.asof, map[string]bool{}}
}

// text is a value as swanctl writes it.
func (c *compare) text(name, key string) {
	c.t.Helper()
	c.seen[name] = true
	v, ok := c.raw[name]
	got, has := c.have[key]
	switch {
	case !ok && !has:
	case !ok:
		c.t.Errorf("%s: swanctl has no %s, we have %s %v", c.at, name, key, got)
	case fmt.Sprint(v) != text(got):
		c.t.Errorf("%s: swanctl has %s %v, we have %s %v", c.at, name, v, key, text(got))
	}
}

// text writes a value of JSON as swanctl would.
func text(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		return fmt.Sprint(v)
	}
	return fmt.Sprint(v)
}

// flag is a condition: "yes", or absent for no.
func (c *compare) flag(name string, got any) {
	c.t.Helper()
	c.seen[name] = true
	if want := c.raw[name] == "yes"; got != want {
		c.t.Errorf("%s: %s is %v, we have %v", c.at, name, want, got)
	}
}

// near is a number of seconds: both were asked a moment apart.
func (c *compare) near(name string, got float64) {
	c.t.Helper()
	c.seen[name] = true
	want, err := strconv.ParseFloat(fmt.Sprint(c.raw[name]), 64)
	if err != nil || math.Abs(want-got) > 2 {
		c.t.Errorf("%s: %s is %v, we have %v", c.at, name, c.raw[name], got)
	}
}

// timers compares what is due with what swanctl says is left.
func (c *compare) timers(names map[string]string) {
	c.t.Helper()
	due := map[string]float64{}
	for _, timer := range c.have["timers"].([]any) {
		m := timer.(map[string]any)
		at, err := time.Parse(time.RFC3339Nano, m["due"].(string))
		if err != nil {
			c.t.Fatal(err)
		}
		due[m["name"].(string)] = at.Sub(c.asof).Seconds()
	}
	for name, ours := range names {
		left, has := due[ours]
		_, want := c.raw[name]
		if has != want {
			c.t.Errorf("%s: swanctl has a %s: %v, we have a timer %s: %v", c.at, name, want, ours, has)
		}
		if has && want {
			c.near(name, left)
		}
	}
}

// done wants every entry of swanctl's compared.
func (c *compare) done() {
	c.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(c.raw)) {
		if !c.seen[name] {
			c.t.Errorf("%s: swanctl has %s %v, which nothing compares", c.at, name, c.raw[name])
		}
	}
}

// document runs a listing and gives its JSON.
func (r *real) document(t *testing.T, kind string, args ...string) *compare {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.must(t, kind, args...), &m); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339Nano, m["time"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return &compare{t, kind, nil, m, at, map[string]bool{}}
}

// TestSAsAreWhatSwanctlSays compares list-sas with swanctl field by field.
func TestSAsAreWhatSwanctlSays(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "up", "gw/net")
	if err := r.PingThrough(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	d := r.document(t, "sas", "list-sas")
	said := r.swanctl(t, "list-sa event", "--list-sas")
	ours := d.have["ike_sas"].([]any)
	if len(said) != len(ours) || len(said) == 0 {
		t.Fatalf("swanctl lists %d IKE SAs, we list %d", len(said), len(ours))
	}
	for i := range said {
		for name, section := range said[i] {
			ike := d.child(name, section.(raw), ours[i])
			if ike.have["name"] != name {
				t.Errorf("an IKE SA of %q, we have %q", name, ike.have["name"])
			}
			compareIKE(ike)
		}
	}
}

func compareIKE(c *compare) {
	c.t.Helper()
	c.text("uniqueid", "unique_id")
	for _, name := range []string{"version", "state", "local-host", "local-port", "local-id", "remote-host", "remote-port", "remote-id", "remote-eap-id",
		"initiator-spi", "responder-spi", "encr-alg", "encr-keysize", "integ-alg", "integ-keysize", "prf-alg", "dh-group",
		"local-vips", "remote-vips", "tasks-queued", "tasks-active", "tasks-passive", "if-id-in", "if-id-out"} {
		c.text(name, underscored(name))
	}
	c.flag("initiator", c.have["initiator"])
	nat := c.have["nat"].(map[string]any)
	for _, name := range []string{"nat-local", "nat-remote", "nat-fake", "nat-any"} {
		c.flag(name, nat[underscored(name)])
	}
	c.near("established", c.have["established"].(float64))
	c.timers(map[string]string{"rekey-time": "rekey", "reauth-time": "reauth"})
	children, ours := c.raw["child-sas"].(raw), c.have["child_sas"].([]any)
	c.seen["child-sas"] = true
	if len(children) != len(ours) {
		c.t.Fatalf("%s: swanctl lists %d CHILD SAs, we list %d", c.at, len(children), len(ours))
	}
	for name, section := range children {
		i := slices.IndexFunc(ours, func(x any) bool {
			return text(x.(map[string]any)["unique_id"]) == section.(raw)["uniqueid"]
		})
		if i < 0 {
			c.t.Fatalf("%s: we have no CHILD SA %s", c.at, name)
		}
		compareChild(c.child(name, section.(raw), ours[i]))
	}
	c.done()
}

func compareChild(c *compare) {
	c.t.Helper()
	c.text("uniqueid", "unique_id")
	for _, name := range []string{"name", "reqid", "state", "mode", "protocol", "spi-in", "spi-out", "encr-alg", "encr-keysize", "integ-alg", "integ-keysize",
		"prf-alg", "dh-group", "bytes-in", "packets-in", "bytes-out", "packets-out", "local-ts", "remote-ts", "mark-in", "mark-out", "label"} {
		c.text(name, underscored(name))
	}
	c.flag("encap", c.have["encap"])
	for _, name := range []string{"use-in", "use-out", "install-time"} {
		if _, ok := c.raw[name]; ok {
			c.near(name, c.have[underscored(name)].(float64))
		} else if v, has := c.have[underscored(name)]; has {
			c.t.Errorf("%s: swanctl has no %s, we have %v", c.at, name, v)
		}
	}
	c.timers(map[string]string{"rekey-time": "rekey", "life-time": "expire"})
	c.done()
}

// TestConnectionsAreWhatSwanctlSays compares list-conns with swanctl.
func TestConnectionsAreWhatSwanctlSays(t *testing.T) {
	r := peers(t)
	d := r.document(t, "conns", "list-conns")
	said := r.swanctl(t, "list-conn event", "--list-conns")
	ours := d.have["connections"].([]any)
	if len(said) != len(ours) || len(said) == 0 {
		t.Fatalf("swanctl lists %d connections, we list %d", len(said), len(ours))
	}
	for i := range said {
		for name, section := range said[i] {
			c := d.child(name, section.(raw), ours[i])
			for _, n := range []string{"local_addrs", "remote_addrs", "local_port", "remote_port", "version", "reauth_time", "rekey_time", "unique", "dpd_delay", "dpd_timeout", "ppk_id"} {
				c.text(n, n)
			}
			for _, side := range []string{"local", "remote"} {
				c.seen[side+"-1"] = true
				round := c.child(side, c.raw[side+"-1"].(raw), c.have[side].([]any)[0])
				round.text("id", "id")
				round.text("class", "class")
				for _, n := range []string{"groups", "certs", "cacerts", "cert_policy"} {
					round.seen[n] = true
					if list := round.raw[n].([]string); len(list) > 0 {
						round.text(n, n)
					}
				}
				round.done()
			}
			c.seen["children"] = true
			children, ours := c.raw["children"].(raw), c.have["children"].([]any)
			if len(children) != len(ours) {
				t.Fatalf("%s: swanctl lists %d children, we list %d", name, len(children), len(ours))
			}
			for _, have := range ours {
				child := have.(map[string]any)["name"].(string)
				x := c.child(child, children[child].(raw), have)
				for _, n := range []string{"mode", "label", "rekey_time", "rekey_bytes", "rekey_packets", "dpd_action", "close_action", "local-ts", "remote-ts", "interface", "priority"} {
					x.text(n, underscored(n))
				}
				x.done()
			}
			c.done()
		}
	}
}

// TestListsAreWhatSwanctlSays compares pools, algorithms, counters and stats.
func TestListsAreWhatSwanctlSays(t *testing.T) {
	r := peers(t)
	for _, reply := range r.swanctl(t, "get-algorithms reply", "--list-algs") {
		d := r.document(t, "algs", "list-algs")
		n := 0
		for _, x := range d.have["algorithms"].([]any) {
			a := x.(map[string]any)
			n++
			if got := reply[a["kind"].(string)].(raw)[a["name"].(string)]; got != a["plugin"] {
				t.Errorf("%v of %v: swanctl says %v, we say %v", a["name"], a["kind"], got, a["plugin"])
			}
		}
		want := 0
		for _, kind := range reply {
			want += len(kind.(raw))
		}
		if n != want || n == 0 {
			t.Errorf("swanctl lists %d algorithms, we list %d", want, n)
		}
	}
	for _, reply := range r.swanctl(t, "counters reply", "--counters") {
		d := r.document(t, "counters", "counters")
		counts := d.child("all", reply["counters"].(raw)[""].(raw), d.have["counters"].([]any)[0].(map[string]any)["counts"])
		for name := range counts.raw {
			if strings.HasPrefix(name, "info-") {
				counts.seen[name] = true // liveness checks go on
				continue
			}
			counts.text(name, underscored(name))
		}
		counts.done()
	}
	for _, reply := range r.swanctl(t, "stats reply", "--stats") {
		d := r.document(t, "stats", "stats")
		if got, want := text(d.have["plugins"]), fmt.Sprint(reply["plugins"]); got != want {
			t.Errorf("plugins: %s, want %s", got, want)
		}
		if got, want := text(d.have["ike_sas"]), reply["ikesas"].(raw)["total"]; got != want {
			t.Errorf("IKE SAs: %s, want %s", got, want)
		}
		if got, want := text(d.have["workers"].(map[string]any)["total"]), reply["workers"].(raw)["total"]; got != want {
			t.Errorf("workers: %s, want %s", got, want)
		}
	}
	// The pool is the responder's.
	code, out, errs := run(t, "", nil, "ipsec", "list-pools", "--leases", "-o", "json", "--source", "vici:"+r.B.Socket())
	if code != exitFine {
		t.Fatalf("list-pools: exit code %d: %s", code, errs)
	}
	holds(t, "pools", "", "json", out)
	pools, err := r.B.Swanctl(t.Context(), "--list-pools", "--raw")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(pools, "office {base=10.50.0.0 size=6 online=0 offline=0}") || !strings.Contains(out, `"size": 6`) || !strings.Contains(out, `"base": "10.50.0.0"`) {
		t.Errorf("swanctl says %s, we say %s", pools, out)
	}
}

// TestPoliciesAreWhatSwanctlSays has a real daemon keep traffic out of every
// tunnel, drop some, and wait for some, and compares what is listed.
func TestPoliciesAreWhatSwanctlSays(t *testing.T) {
	r := peers(t)
	t.Cleanup(func() { r.load(t, nil) })
	r.load(t, func(end *lab.End) {
		child := func(name, mode, action, remote string) {
			end.Child = append(end.Child, "}", name+" {", "mode = "+mode, "start_action = "+action, "local_ts = 10.1.0.0/16", "remote_ts = "+remote)
		}
		end.Child = slices.Clone(end.Child)
		child("printers", "pass", "trap", "10.78.0.0/16")
		child("guests", "drop", "trap", "10.79.0.0/16")
		child("late", "tunnel", "trap", "10.80.0.0/16")
	})
	var have struct {
		Policies []struct {
			Connection, Child, Mode string
			LocalTS                 []string `json:"local_ts"`
			RemoteTS                []string `json:"remote_ts"`
		}
	}
	if err := json.Unmarshal(r.must(t, "policies", "list-pols"), &have); err != nil {
		t.Fatal(err)
	}
	said, err := r.A.Swanctl(t.Context(), "--list-pols", "--trap", "--drop", "--pass", "--raw")
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]string{}
	for _, p := range have.Policies {
		modes[p.Child] = p.Mode
		for _, want := range []string{"mode=" + p.Mode, "local-ts=[" + strings.Join(p.LocalTS, " ") + "]", "remote-ts=[" + strings.Join(p.RemoteTS, " ") + "]"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: swanctl says no %s:\n%s", p.Child, want, said)
			}
		}
	}
	for child, mode := range map[string]string{"printers": "PASS", "guests": "DROP", "late": "TUNNEL"} {
		if modes[child] != mode {
			t.Errorf("%s is %q, want %s:\n%s", child, modes[child], mode, said)
		}
	}
	if n := strings.Count(said, "list-policy event"); n != len(have.Policies) {
		t.Errorf("swanctl lists %d policies, we %d:\n%s", n, len(have.Policies), said)
	}
	_, narrowed, _ := r.run(t, "list-pols", "--child", "guests")
	if !strings.Contains(narrowed, "10.79.0.0/16") || strings.Contains(narrowed, "10.78.0.0/16") {
		t.Errorf("--child guests shows\n%s", narrowed)
	}
}

// TestACertificateOfARealDaemonIsListed loads one and finds it again.
func TestACertificateOfARealDaemonIsListed(t *testing.T) {
	r := peers(t)
	der, err := os.ReadFile("testdata/ca.der")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.A.Dir+"/x509ca/ca.der", der, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(r.A.Dir + "/x509ca/ca.der"); err != nil {
			t.Error(err)
		}
		r.load(t, nil)
	})
	r.load(t, nil)
	out := string(r.must(t, "certs", "list-certs"))
	for _, want := range []string{`"flag": "CA"`, `"subject": "CN=ca.example,O=Example,C=CH"`, `"state": "valid"`, `"192.0.2.9"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing in %s", want, out)
		}
	}
}
