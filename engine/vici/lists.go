package vici

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// Version says what daemon it is.
func (c *Client) Version(ctx context.Context) (engine.Version, error) {
	s, err := c.ask(ctx, "version", c.values())
	if err != nil {
		return engine.Version{}, err
	}
	v := engine.Version{
		Daemon: s.text("daemon"), Version: s.text("version"),
		SysName: s.text("sysname"), Release: s.text("release"), Machine: s.text("machine"),
	}
	exact(s, &v)
	return v, nil
}

// sinceLayout is how charon writes the time of its start, in its own time zone.
const sinceLayout = "Jan 02 15:04:05 2006"

// Stats gives the state of the daemon as a whole.
func (c *Client) Stats(ctx context.Context) (engine.Stats, error) {
	s, err := c.ask(ctx, "stats", c.values())
	if err != nil {
		return engine.Stats{}, err
	}
	uptime, workers, ikesas, memory := s.sub("uptime"), s.sub("workers"), s.sub("ikesas"), s.sub("mallinfo")
	stats := engine.Stats{
		Running:   running(uptime.text("running")),
		Workers:   counts(workers),
		Queues:    counts(s.sub("queues")),
		Scheduled: number[int](s, "scheduled"),
		IKESAs:    number[int](ikesas, "total"),
		HalfOpen:  number[int](ikesas, "half-open"),
		Plugins:   s.list("plugins"),
	}
	if t, err := time.ParseInLocation(sinceLayout, uptime.text("since"), time.Local); err == nil {
		stats.Since = t
	}
	for name, n := range counts(workers.sub("active")) {
		stats.Workers["active."+name] = n
	}
	for _, name := range memory.names() {
		if n, ok := number[uint64](memory, name).Get(); ok {
			if stats.Memory == nil {
				stats.Memory = make(map[string]uint64)
			}
			stats.Memory[name] = n
		}
	}
	exact(s, &stats)
	return stats, nil
}

func counts(s section) map[string]int {
	m := make(map[string]int)
	for _, name := range s.names() {
		if n, ok := number[int](s, name).Get(); ok {
			m[name] = n
		}
	}
	return m
}

// running reads charon's "2 minutes": it tells one unit only.
func running(s string) time.Duration {
	value, unit, _ := strings.Cut(s, " ")
	var n int64
	for _, r := range value {
		if r < '0' || r > '9' || n > math.MaxInt32 {
			return 0
		}
		n = n*10 + int64(r-'0')
	}
	units := map[string]time.Duration{
		"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour,
	}
	return time.Duration(min(n, 36500)) * units[strings.TrimSuffix(unit, "s")]
}

// ReloadSettings has the daemon read strongswan.conf again.
func (c *Client) ReloadSettings(ctx context.Context) error {
	_, err := c.ask(ctx, "reload-settings", c.values())
	return err
}

// Policies lists installed trap, pass and drop policies; those of SAs are not
// among them.
func (c *Client) Policies(ctx context.Context) ([]engine.Policy, error) {
	all := []engine.Policy{} // none is something that a daemon tells
	in := c.values("trap", "yes", "drop", "yes", "pass", "yes")
	_, err := c.list(ctx, "list-policies", "list-policy", in, func(s section) {
		s.each(func(name string, p section) {
			ike, child, found := strings.Cut(name, "/")
			if !found {
				ike, child = "", name
			}
			if v := p.text("child"); v != "" {
				child = v
			}
			if v := p.text("ike"); v != "" {
				ike = v
			}
			one := engine.Policy{
				Connection: ike, Child: child, Mode: p.text("mode"), Label: p.text("label"),
				LocalTS: p.list("local-ts"), RemoteTS: p.list("remote-ts"),
			}
			exact(p, &one)
			all = append(all, one)
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Certificates lists loaded certificates, CRLs and public keys.
func (c *Client) Certificates(ctx context.Context) ([]engine.Certificate, error) {
	var all []engine.Certificate
	_, err := c.list(ctx, "list-certs", "list-cert", c.values(), func(s section) {
		one := engine.Certificate{
			Type: s.text("type"), Flag: s.text("flag"), HasKey: s.yes("has_privkey"),
			Data: []byte(s.text("data")), Subject: s.text("subject"),
			NotBefore: validity(s.text("not-before")), NotAfter: validity(s.text("not-after")),
		}
		exact(s, &one)
		all = append(all, one)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// validity reads a time of a raw public key, in charon's local time.
func validity(s string) time.Time {
	for _, layout := range []string{time.ANSIC, "Jan 02 15:04:05 2006"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t
		}
	}
	return time.Time{}
}

// Authorities lists certification authorities.
func (c *Client) Authorities(ctx context.Context) ([]engine.Authority, error) {
	var all []engine.Authority
	_, err := c.list(ctx, "list-authorities", "list-authority", c.values(), func(s section) {
		s.each(func(name string, a section) {
			one := engine.Authority{
				Name: name, CACert: a.text("cacert"), CRLURIs: a.list("crl_uris"),
				OCSPURIs: a.list("ocsp_uris"), CertURIBase: a.text("cert_uri_base"),
			}
			exact(a, &one)
			all = append(all, one)
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Pools lists pools of virtual addresses.
func (c *Client) Pools(ctx context.Context, leases bool) ([]engine.Pool, error) {
	in := c.values()
	if leases {
		in = c.values("leases", "yes")
	}
	s, err := c.ask(ctx, "get-pools", in)
	if err != nil {
		return nil, err
	}
	var all []engine.Pool
	s.each(func(name string, p section) {
		one := pool(name, p)
		exact(p, &one)
		all = append(all, one)
	})
	return all, nil
}

func pool(name string, s section) engine.Pool {
	p := engine.Pool{
		Name: name, Base: s.text("base"), Size: number[uint64](s, "size").Or(0),
		Online: number[uint64](s, "online").Or(0), Offline: number[uint64](s, "offline").Or(0),
	}
	s.sub("leases").each(func(_ string, l section) {
		p.Leases = append(p.Leases, engine.Lease{
			Address: l.text("address"), Identity: l.text("identity"), Online: l.text("status") == "online",
		})
	})
	for _, key := range s.names() {
		if l, ok := s.get(key).([]string); ok {
			if p.Attributes == nil {
				p.Attributes = make(map[string][]string)
			}
			p.Attributes[key] = l
		}
	}
	return p
}

// Algorithms lists what the daemon can do and by which plugin.
func (c *Client) Algorithms(ctx context.Context) ([]engine.Algorithm, error) {
	s, err := c.ask(ctx, "get-algorithms", c.values())
	if err != nil {
		return nil, err
	}
	var all []engine.Algorithm
	s.each(func(kind string, sub section) {
		for _, name := range sub.names() {
			all = append(all, engine.Algorithm{Kind: kind, Name: name, Plugin: sub.text(name)})
		}
	})
	exact(s, &all)
	return all, nil
}

// Counters gives the counts of messages and rekeyings; it needs charon's
// plugin counters.
func (c *Client) Counters(ctx context.Context, connection string) (engine.Counters, error) {
	s, err := c.ask(ctx, "get-counters", c.values("name", connection))
	if err != nil {
		return engine.Counters{}, err
	}
	r := engine.Counters{Connection: connection, Counts: make(map[string]uint64)}
	sub := s.sub("counters").sub(connection)
	for _, name := range sub.names() {
		if n, ok := number[uint64](sub, name).Get(); ok {
			r.Counts[name] = n
		}
	}
	return r, nil
}

// ResetCounters sets counts to zero.
func (c *Client) ResetCounters(ctx context.Context, connection string) error {
	_, err := c.ask(ctx, "reset-counters", c.values("name", connection))
	return err
}

// Credentials names loaded private keys and shared secrets.
func (c *Client) Credentials(ctx context.Context) (backend.Credentials, error) {
	keys, err := c.ask(ctx, "get-keys", c.values())
	if err != nil {
		return backend.Credentials{}, err
	}
	secrets, err := c.ask(ctx, "get-shared", c.values())
	if err != nil {
		return backend.Credentials{}, err
	}
	return backend.Credentials{Keys: keys.list("keys"), Secrets: secrets.list("keys")}, nil
}
