package vici_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/lab"
)

// raw reads what swanctl --raw prints into paths and values:
// "gw/child-sas/net-1/state" is "INSTALLED".
func raw(t *testing.T, d *lab.Daemon, event string, args ...string) map[string]string {
	t.Helper()
	out, err := d.Swanctl(timeout(t, time.Minute), append(args, "--raw")...)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for _, line := range strings.Split(out, "\n") {
		rest, ok := strings.CutPrefix(line, event+" ")
		if !ok {
			continue
		}
		var path []string
		token, last := "", ""
		list := false
		flush := func() {
			key, value, ok := strings.Cut(token, "=")
			switch {
			case ok:
				last = strings.Join(append(path, key), "/")
				values[last] = value
			case token != "": // a value that holds a blank
				values[last] += " " + token
			}
			token = ""
		}
		// A section's name is one word, and a blank stands before its brace.
		for _, r := range strings.ReplaceAll(rest[1:len(rest)-1], " {", "{") {
			switch {
			case r == '[':
				list = true
				token += "["
			case r == ']':
				list = false
				token += "]"
			case list || r != ' ' && r != '{' && r != '}':
				token += string(r)
			case r == '{':
				path = append(path, token)
				token = ""
			case r == '}':
				flush()
				path = path[:len(path)-1]
			case r == ' ':
				flush()
			}
		}
		flush()
	}
	return values
}

// put writes a value where it is known.
func put[T any](m map[string]string, key string, v engine.Opt[T]) {
	if x, ok := v.Get(); ok {
		m[key] = fmt.Sprint(x)
	}
}

func yes(m map[string]string, key string, v engine.Opt[bool]) {
	if v.Or(false) {
		m[key] = "yes"
	}
}

func text(m map[string]string, key, v string) {
	if v != "" {
		m[key] = v
	}
}

func list(m map[string]string, key string, v []string) {
	if v != nil {
		m[key] = "[" + strings.Join(v, " ") + "]"
	}
}

// whole gives a number of seconds, as a daemon counts them.
func whole(d time.Duration) string { return strconv.FormatFloat(math.Round(d.Seconds()), 'f', 0, 64) }

func suiteFields(m map[string]string, p string, s engine.Suite) {
	text(m, p+"encr-alg", s.EncrAlg)
	if s.EncrKeySize > 0 {
		m[p+"encr-keysize"] = strconv.Itoa(s.EncrKeySize)
	}
	text(m, p+"integ-alg", s.IntegAlg)
	if s.IntegKeySize > 0 {
		m[p+"integ-keysize"] = strconv.Itoa(s.IntegKeySize)
	}
	text(m, p+"prf-alg", s.PRFAlg)
	text(m, p+"dh-group", s.DHGroup)
}

// fields writes SAs back in VICI's words; at is the moment that relative times
// count from.
func fields(sas []*engine.IKESA, at func(time.Time) string, left func(engine.Timer) string) map[string]string {
	m := make(map[string]string)
	for _, sa := range sas {
		p := sa.Name + "/"
		m[p+"uniqueid"], m[p+"version"], m[p+"state"] = fmt.Sprint(sa.UniqueID), fmt.Sprint(sa.Version), string(sa.State)
		m[p+"local-host"], m[p+"local-port"], m[p+"local-id"] = sa.Local.Host.String(), fmt.Sprint(sa.Local.Port), sa.Local.ID
		m[p+"remote-host"], m[p+"remote-port"], m[p+"remote-id"] = sa.Remote.Host.String(), fmt.Sprint(sa.Remote.Port), sa.Remote.ID
		m[p+"initiator-spi"], m[p+"responder-spi"] = sa.InitiatorSPI.String(), sa.ResponderSPI.String()
		yes(m, p+"initiator", sa.Initiator)
		yes(m, p+"nat-local", sa.NAT.Local)
		yes(m, p+"nat-remote", sa.NAT.Remote)
		yes(m, p+"nat-fake", sa.NAT.Fake)
		yes(m, p+"nat-any", sa.NAT.Any)
		yes(m, p+"ppk", sa.PPK)
		suiteFields(m, p, sa.Suite)
		if !sa.Established.IsZero() {
			m[p+"established"] = at(sa.Established)
		}
		for _, timer := range sa.Timers {
			m[p+timer.Name+"-time"] = left(timer)
		}
		list(m, p+"local-vips", sa.LocalVIPs)
		list(m, p+"remote-vips", sa.RemoteVIPs)
		for _, c := range sa.Children {
			q := fmt.Sprintf("%schild-sas/%s-%d/", p, c.Name, c.UniqueID)
			m[q+"name"], m[q+"uniqueid"], m[q+"state"] = c.Name, fmt.Sprint(c.UniqueID), string(c.State)
			m[q+"mode"], m[q+"protocol"] = c.Mode, c.Protocol
			put(m, q+"reqid", c.ReqID)
			yes(m, q+"encap", c.Encap)
			put(m, q+"spi-in", c.SPIIn)
			put(m, q+"spi-out", c.SPIOut)
			suiteFields(m, q, c.Suite)
			put(m, q+"bytes-in", c.BytesIn)
			put(m, q+"packets-in", c.PacketsIn)
			put(m, q+"bytes-out", c.BytesOut)
			put(m, q+"packets-out", c.PacketsOut)
			for key, v := range map[string]time.Time{"use-in": c.LastIn, "use-out": c.LastOut, "install-time": c.Installed} {
				if !v.IsZero() {
					m[q+key] = at(v)
				}
			}
			for _, timer := range c.Timers {
				m[q+map[string]string{"rekey": "rekey-time", "expire": "life-time"}[timer.Name]] = left(timer)
			}
			list(m, q+"local-ts", c.LocalTS)
			list(m, q+"remote-ts", c.RemoteTS)
		}
	}
	return m
}

// moving says that a field tells seconds since or until something.
func moving(key string) bool {
	return strings.HasSuffix(key, "-time") || strings.Contains(key, "/use-") || strings.HasSuffix(key, "established")
}

// TestListSAsEqualsSwanctlFieldByField proves that nothing that swanctl tells
// of an SA is lost or added. Seconds are between those that swanctl tells before
// and after.
func TestListSAsEqualsSwanctlFieldByField(t *testing.T) {
	b := peers(t)
	initiator := up(t)
	if err := b.PingThrough(timeout(t, time.Minute), 3); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*lab.Daemon{"initiator": b.A, "responder": b.B} {
		t.Run(name, func(t *testing.T) {
			c := initiator
			if d == b.B {
				c = clientOf(t, d)
			}
			// A daemon that is busy with the SA, as with a liveness check of its own,
			// leaves it out of our listing, and tells swanctl of the task.
			var before, want map[string]string
			var sas []*engine.IKESA
			var asked time.Time
			if err := lab.Eventually(t.Context(), time.Minute, "an SA at rest", func() bool {
				before = raw(t, d, "list-sa event", "--list-sas")
				var err error
				if sas, err = c.SAs(timeout(t, time.Minute), backend.Filter{}); err != nil {
					t.Fatal(err)
				}
				asked = time.Now()
				want = raw(t, d, "list-sa event", "--list-sas")
				for key, w := range want {
					if b, ok := before[key]; strings.Contains(key, "/tasks-") || !ok || !moving(key) && b != w {
						return false
					}
				}
				return len(sas) > 0 && len(before) == len(want)
			}); err != nil {
				t.Fatal(err)
			}
			got := fields(sas, func(x time.Time) string { return whole(asked.Sub(x)) },
				func(x engine.Timer) string { return whole(x.Due.Sub(asked)) })
			if len(want) < 40 {
				t.Fatalf("swanctl told %d fields: %v", len(want), want)
			}
			for key, w := range want {
				g, ok := got[key]
				if !ok {
					t.Errorf("%s = %s is missing", key, w)
				}
				a, errA := strconv.Atoi(before[key])
				b, errB := strconv.Atoi(w)
				x, errX := strconv.Atoi(g)
				// A second more or less: either rounds.
				if ok && w != g && (!moving(key) || errA != nil || errB != nil || errX != nil || x < min(a, b)-1 || x > max(a, b)+1) {
					t.Errorf("%s = %s, swanctl says %s and then %s", key, g, before[key], w)
				}
			}
			for key, g := range got {
				if _, ok := want[key]; !ok {
					t.Errorf("%s = %s, of which swanctl says nothing", key, g)
				}
			}
		})
	}
}

// TestListConnectionsEqualsSwanctlFieldByField proves the same of what is
// configured.
func TestListConnectionsEqualsSwanctlFieldByField(t *testing.T) {
	b := peers(t)
	conns, err := client(t).Connections(timeout(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	seconds := func(key string, v engine.Opt[time.Duration]) {
		if d, ok := v.Get(); ok {
			got[key] = whole(d)
		}
	}
	for _, c := range conns {
		p := c.Name + "/"
		list(got, p+"local_addrs", c.LocalAddrs)
		list(got, p+"remote_addrs", c.RemoteAddrs)
		text(got, p+"version", c.Version)
		text(got, p+"unique", c.Unique)
		put(got, p+"local_port", c.LocalPort)
		put(got, p+"remote_port", c.RemotePort)
		seconds(p+"reauth_time", c.ReauthTime)
		seconds(p+"rekey_time", c.RekeyTime)
		seconds(p+"dpd_delay", c.DPDDelay)
		seconds(p+"dpd_timeout", c.DPDTimeout)
		for side, rounds := range map[string][]engine.AuthRound{"local": c.Local, "remote": c.Remote} {
			for i, r := range rounds {
				q := fmt.Sprintf("%s%s-%d/", p, side, i+1)
				text(got, q+"id", r.ID)
				text(got, q+"class", r.Class)
				for key, v := range map[string][]string{"groups": r.Groups, "cert_policy": r.Policies, "certs": r.Certs, "cacerts": r.CACerts} {
					got[q+key] = "[" + strings.Join(v, " ") + "]"
				}
			}
		}
		for _, child := range c.Children {
			q := p + "children/" + child.Name + "/"
			text(got, q+"mode", child.Mode)
			seconds(q+"rekey_time", child.RekeyTime)
			put(got, q+"rekey_bytes", child.RekeyBytes)
			put(got, q+"rekey_packets", child.RekeyPackets)
			text(got, q+"dpd_action", child.DPDAction)
			text(got, q+"close_action", child.CloseAction)
			list(got, q+"local-ts", child.LocalTS)
			list(got, q+"remote-ts", child.RemoteTS)
		}
	}
	want := raw(t, b.A, "list-conn event", "--list-conns")
	if len(want) < 25 {
		t.Fatalf("swanctl told %d fields: %v", len(want), want)
	}
	for key, w := range want {
		if g, ok := got[key]; !ok || g != w {
			t.Errorf("%s = %q, swanctl says %q", key, g, w)
		}
	}
	for key, g := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s = %q, of which swanctl says nothing", key, g)
		}
	}
}
