package serve

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// exactly adds the exact form of what an answer was made from, where the client
// wants it.
func (r *request) exactly(answer []packet.Element, v any) ([]packet.Element, error) {
	if !r.exact {
		return answer, nil
	}
	return packet.AppendExact(answer, v)
}

func version(ctx context.Context, r *request) ([]packet.Element, error) {
	v, err := r.backend.Version(ctx)
	if err != nil {
		return nil, err
	}
	var m entries
	m.text("daemon", v.Daemon)
	m.text("version", v.Version)
	m.text("sysname", v.SysName)
	m.text("release", v.Release)
	m.text("machine", v.Machine)
	return r.exactly(m, &v)
}

// priorities are the names of the priorities of strongSwan's jobs.
var priorities = []string{"critical", "high", "medium", "low"}

func stats(ctx context.Context, r *request) ([]packet.Element, error) {
	s, err := r.backend.Stats(ctx)
	if err != nil {
		return nil, err
	}
	uptime, active, queues, ikesas := entries{}, entries{}, entries{}, entries{}
	uptime.text("running", span(s.Running))
	if !s.Since.IsZero() {
		uptime.text("since", s.Since.Local().Format("Jan 02 15:04:05 2006"))
	}
	for _, p := range priorities {
		active.number(p, uint64(s.Workers["active."+p]))
		queues.number(p, uint64(s.Queues[p]))
	}
	workers := entries{}
	workers.number("total", uint64(s.Workers["total"]))
	workers.number("idle", uint64(s.Workers["idle"]))
	ikesas.number("total", uint64(s.IKESAs.Or(0)))
	ikesas.number("half-open", uint64(s.HalfOpen.Or(0)))
	m := entries{packet.Sub("uptime", uptime...), packet.Sub("workers", append(workers, packet.Sub("active", active...))...),
		packet.Sub("queues", queues...)}
	m.number("scheduled", uint64(s.Scheduled.Or(0)))
	m = append(m, packet.Sub("ikesas", ikesas...), packet.List("plugins", s.Plugins...))
	if s.Memory != nil {
		memory := entries{}
		for _, name := range []string{"sbrk", "mmap", "used", "free"} {
			memory.number(name, s.Memory[name])
		}
		m = append(m, packet.Sub("mallinfo", memory...))
	}
	return r.exactly(m, &s)
}

// span gives a time in strongSwan's words: one number and one unit.
func span(d time.Duration) string {
	unit, name := time.Second, "second"
	switch {
	case d > 48*time.Hour:
		unit, name = 24*time.Hour, "day"
	case d > 2*time.Hour:
		unit, name = time.Hour, "hour"
	case d > 2*time.Minute:
		unit, name = time.Minute, "minute"
	}
	n := int64(d / unit)
	if n != 1 {
		name += "s"
	}
	return fmt.Sprintf("%d %s", n, name)
}

func listPolicies(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Policies(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		p := &list[i]
		if packet.Get(r.in, p.Kind()) == nil || r.text("ike") != "" && r.text("ike") != p.Connection || r.text("child") != "" && r.text("child") != p.Child {
			continue
		}
		name := p.Child
		if p.Connection != "" {
			name = p.Connection + "/" + name
		}
		var m entries
		m.text("child", p.Child)
		m.text("ike", p.Connection)
		m.text("mode", p.Mode)
		m.text("label", p.Label)
		m = append(m, packet.List("local-ts", p.LocalTS...), packet.List("remote-ts", p.RemoteTS...))
		section, err := r.exactly(m, p)
		if err != nil {
			return nil, err
		}
		if err := r.raise("list-policy", packet.Sub(name, section...)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func listAuthorities(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		a := &list[i]
		if r.text("name") != "" && r.text("name") != a.Name {
			continue
		}
		var m entries
		m.text("cacert", a.CACert)
		m = append(m, packet.List("crl_uris", a.CRLURIs...), packet.List("ocsp_uris", a.OCSPURIs...))
		m.text("cert_uri_base", a.CertURIBase)
		section, err := r.exactly(m, a)
		if err != nil {
			return nil, err
		}
		if err := r.raise("list-authority", packet.Sub(a.Name, section...)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func getAuthorities(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	names := packet.List("authorities")
	for i := range list {
		names.List = append(names.List, list[i].Name)
	}
	return []packet.Element{names}, nil
}

func getPools(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Pools(ctx, r.yes("leases"))
	if err != nil {
		return nil, err
	}
	var m entries
	for i := range list {
		if r.text("name") == "" || r.text("name") == list[i].Name {
			section, err := r.exactly(pool(&list[i]), &list[i])
			if err != nil {
				return nil, err
			}
			m = append(m, packet.Sub(list[i].Name, section...))
		}
	}
	return m, nil
}

func pool(p *engine.Pool) []packet.Element {
	var m entries
	m.text("base", p.Base)
	m.number("size", p.Size)
	m.number("online", p.Online)
	m.number("offline", p.Offline)
	for name, values := range p.Attributes {
		m.list(name, values)
	}
	if len(p.Leases) > 0 {
		leases := packet.Sub("leases")
		for i, l := range p.Leases {
			status := "offline"
			if l.Online {
				status = "online"
			}
			leases.Section = append(leases.Section, packet.Sub(strconv.Itoa(i),
				packet.Value("address", l.Address), packet.Value("identity", l.Identity), packet.Value("status", status)))
		}
		m = append(m, leases)
	}
	return m
}

// algorithmKinds are the sections of get-algorithms, in strongSwan's order.
var algorithmKinds = []string{"encryption", "integrity", "aead", "hasher", "prf", "xof", "kdf", "drbg", "ke", "rng", "nonce-gen"}

func getAlgorithms(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Algorithms(ctx)
	if err != nil {
		return nil, err
	}
	sections := make(map[string]entries)
	for _, a := range list {
		m := sections[a.Kind]
		m.text(a.Name, a.Plugin)
		sections[a.Kind] = m
	}
	var m entries
	for _, kind := range algorithmKinds {
		m = append(m, packet.Sub(kind, sections[kind]...))
	}
	return r.exactly(m, list)
}

// counterNames are the names of counters, in strongSwan's order.
var counterNames = []string{
	"ike-rekey-init", "ike-rekey-resp", "child-rekey", "invalid", "invalid-spi",
	"ike-init-in-req", "ike-init-in-resp", "ike-init-out-req", "ike-init-out-resp",
	"ike-auth-in-req", "ike-auth-in-resp", "ike-auth-out-req", "ike-auth-out-resp",
	"create-child-in-req", "create-child-in-resp", "create-child-out-req", "create-child-out-resp",
	"info-in-req", "info-in-resp", "info-out-req", "info-out-resp",
}

func counters(c *engine.Counters) packet.Element {
	var m entries
	for _, name := range counterNames {
		m.number(name, c.Counts[name])
	}
	return packet.Sub(c.Connection, m...)
}

// counted gives the connections that a request for counters is about; "" is all
// of them together.
func (r *request) counted(ctx context.Context) ([]string, error) {
	if !r.yes("all") {
		return []string{r.text("name")}, nil
	}
	conns, err := r.backend.Connections(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(conns))
	for i := range conns {
		names[i] = conns[i].Name
	}
	return names, nil
}

func getCounters(ctx context.Context, r *request) ([]packet.Element, error) {
	names, err := r.counted(ctx)
	if err != nil {
		return nil, err
	}
	all := packet.Sub("counters")
	for _, name := range names {
		c, err := r.backend.Counters(ctx, name)
		if err != nil {
			return []packet.Element{all}, err
		}
		all.Section = append(all.Section, counters(&c))
	}
	return append([]packet.Element{all}, done()...), nil
}

func resetCounters(ctx context.Context, r *request) ([]packet.Element, error) {
	names, err := r.counted(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := r.backend.ResetCounters(ctx, name); err != nil {
			return nil, err
		}
	}
	return done(), nil
}

// past is our own: VICI does not tell what was.
func past(ctx context.Context, r *request) ([]packet.Element, error) {
	s, err := r.backend.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		if err := r.remember(t.Name, "", t.Past); err != nil {
			return nil, err
		}
		for j := range t.Children {
			if err := r.remember(t.Name, t.Children[j].Name, t.Children[j].Past); err != nil {
				return nil, err
			}
		}
	}
	return packet.AppendExact(nil, s.Watched)
}

func (r *request) remember(connection, child string, p backend.Past) error {
	if p == (backend.Past{}) {
		return nil
	}
	var m entries
	m.text("connection", connection)
	m.text("child", child)
	item, err := packet.AppendExact(m, &p)
	if err != nil {
		return err
	}
	return r.raise(packet.EventPast, item...)
}

// recall is our own: VICI tells nothing of what happened before.
func recall(ctx context.Context, r *request) ([]packet.Element, error) {
	var since time.Time
	if text := r.text(packet.SinceKey); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return nil, fmt.Errorf("%s: %w", packet.SinceKey, err)
		}
	}
	all, err := r.backend.Recall(ctx, since)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		b, err := event.Encode(e)
		if err != nil {
			return nil, err
		}
		if err := r.raise(packet.EventRecall, packet.Pieces(b)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
