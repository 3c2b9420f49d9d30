package report

import (
	"strings"
	"sync"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// maxShown is how much of a stranger's text a finding shows, in runes: of a
// longer name the beginning tells as much.
const maxShown = 96

// collect gathers the names that the facts hold.
func (m *mask) collect(f *diag.Facts) {
	for _, sa := range f.Trace.SAs {
		m.add("identity", sa.Local.ID, sa.Remote.ID, sa.RemoteEAPID, sa.RemoteXAuthID)
		m.add("connection", sa.Name)
		for _, c := range sa.Children {
			m.add("child", c.Name)
		}
	}
	for i := range f.Trace.Daemon.Steps {
		m.add("connection", f.Trace.Daemon.Steps[i].IKE)
	}
	for i := range f.Trace.Daemon.Failures {
		m.add("connection", f.Trace.Daemon.Failures[i].IKE)
	}
	for _, c := range f.Connections {
		m.connection(c)
	}
	for i := range f.Policies {
		m.add("connection", f.Policies[i].Connection)
	}
	for i := range f.Certificates {
		m.add("identity", f.Certificates[i].Subject)
	}
	if h := f.Host; h != nil {
		for i := range h.Certificates {
			m.add("path", h.Certificates[i].Path)
			m.add("identity", h.Certificates[i].Subject, h.Certificates[i].Issuer)
		}
		m.add("name", h.Namespace)
		if h.Clock != nil {
			m.add("path", h.Clock.PastFile)
		}
	}
	if p := f.Probe; p != nil {
		m.add("connection", p.Connection)
		m.add("name", p.Host)
		for i := range p.Tries {
			m.add("identity", p.Tries[i].PeerID)
		}
	}
}

func (m *mask) connection(c *engine.Connection) {
	m.add("connection", c.Name)
	for _, addr := range append(c.LocalAddrs[:len(c.LocalAddrs):len(c.LocalAddrs)], c.RemoteAddrs...) {
		if !strings.HasPrefix(addr, "%") && !strings.ContainsAny(addr, ":/") && strings.ContainsFunc(addr, letter) {
			m.add("name", addr)
		}
	}
	m.add("identity", c.PPKID)
	for _, rounds := range [][]engine.AuthRound{c.Local, c.Remote} {
		for i := range rounds {
			r := &rounds[i]
			m.add("identity", r.ID, r.AAAID, r.EAPID, r.XAuthID, r.CAID)
			m.add("identity", r.Certs...)
			m.add("identity", r.CACerts...)
			m.add("name", r.Groups...)
		}
	}
	for _, child := range c.Children {
		m.add("child", child.Name)
	}
}

func letter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// add notes names, in the forms in which a text may show them. An address is
// found by its form.
func (m *mask) add(kind string, names ...string) {
	for _, n := range names {
		if n == "" || n == "%any" || v4.MatchString(n) && !strings.ContainsFunc(n, letter) {
			continue
		}
		if m.names[n] != "" {
			continue
		}
		pseudonym := m.name(n, kind)
		m.order = append(m.order, n)
		forms := []string{clean.Text(n)}
		if r := []rune(n); len(r) > maxShown {
			forms = append(forms, string(r[:maxShown]))
		}
		for _, form := range forms {
			if m.names[form] == "" {
				m.names[form] = pseudonym
				m.order = append(m.order, form)
			}
		}
		// Of a distinguished name, a part tells enough.
		if strings.Contains(n, "=") {
			for part := range strings.SplitSeq(n, ",") {
				if _, value, ok := strings.Cut(part, "="); ok {
					if value = strings.TrimSpace(value); len(value) >= aWord && m.names[value] == "" {
						m.name(value, "name")
						m.order = append(m.order, value)
					}
				}
			}
		}
	}
}

// vocabulary is what reads like a name and is a word of this program's: of the
// catalogue's texts.
type vocabulary struct {
	labels map[string]bool // of words with dots: settings, files
	paths  map[string]bool
	quoted map[string]bool
}

// settings are labels of settings that rules name beside the catalogue's.
const settings = "connections children secrets local remote id auth certs cacerts proposals esp_proposals ah_proposals local_ts remote_ts " +
	"local_addrs remote_addrs version mobike vips pools encap fragmentation send_cert mode unique conf charon swanctl strongswan plugins " +
	"net ipv4 ipv6 all default rp_filter ip_forward e g i ppk_id ppk_required dpd_delay rekey_time life_time over_time reauth_time start_action"

var ours = sync.OnceValue(func() *vocabulary {
	v := &vocabulary{labels: map[string]bool{}, paths: map[string]bool{}, quoted: map[string]bool{}}
	for label := range strings.FieldsSeq(settings) {
		v.labels[label] = true
	}
	for _, e := range diag.All() {
		texts := []string{e.Cause, e.Sure().Surer}
		for _, r := range e.Remedies {
			texts = append(texts, r.Change)
		}
		for _, s := range texts {
			for _, w := range dotted.FindAllString(s, -1) {
				for label := range strings.SplitSeq(w, ".") {
					v.labels[label] = true
				}
			}
			for _, w := range paths.FindAllString(s, -1) {
				v.paths[w] = true
			}
			for _, w := range quoted.FindAllString(s, -1) {
				v.quoted[w[1:len(w)-1]] = true
			}
		}
	}
	v.quoted["<exactly the same on both sides>"] = true
	v.quoted["<the same as on the peer>"] = true
	return v
})

// setting says that every label of a word with dots is one of a setting.
func (v *vocabulary) setting(word string) bool {
	for label := range strings.SplitSeq(word, ".") {
		if !v.labels[label] {
			return false
		}
	}
	return true
}
