package native

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// configured is a connection that the engine has, and what it was made from.
type configured struct {
	*ike.Connection
	material *material
	listed   *engine.Connection
	// trapped says which children traffic brings up. It is of the pump's
	// goroutine.
	trapped map[string]bool
	lacks   []string // algorithms that it names and the engine leaves out, in words
}

// configured gives the connections that there are, in their order.
func (e *Engine) configured() []*configured {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.conns)
}

// find gives a connection by its name, nil where there is none.
func (e *Engine) find(name string) *configured {
	for _, c := range e.configured() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// listing gives the connections for listings.
func (e *Engine) listing() []*engine.Connection {
	all := e.configured()
	list := make([]*engine.Connection, len(all))
	for i, c := range all {
		list[i] = c.listed
	}
	return list
}

// log tells a line that is about no SA, on the engine's goroutine.
func (e *Engine) log(format string, args ...any) {
	e.tell(&event.Event{Time: time.Now(), Log: &event.Log{Group: "CFG", Level: 1, Text: fmt.Sprintf(format, args...)}})
}

// ofPolicy says that a connection may not be changed by command.
func ofPolicy(name string) error {
	return refused("connection %s comes from the policy file; it changes with that", name)
}

// LoadConnection adds a connection, or replaces one that was loaded before. SAs
// that were made from the old one stay as they are. Children whose start action
// is start are brought up.
func (e *Engine) LoadConnection(ctx context.Context, name string, settings *backend.Section) error {
	from, certs, err := policy.ReadConnection(name, settings)
	if err != nil {
		return err
	}
	m, err := loadedMaterial(certs)
	if err != nil {
		return fmt.Errorf("connection %s: %w", name, err)
	}
	own := e.local.Addr()
	if err := speaksFrom(ctx, from, own); err != nil {
		return err
	}
	c, err := e.options.convert(ctx, from, m, own, &e.store)
	if err != nil {
		return err
	}
	var failed error
	err = e.do(ctx, func(time.Time) ike.Output {
		if failed = e.put(c); failed == nil {
			if failed = e.setTraps(); failed != nil {
				clear(c.trapped)
			}
		}
		return ike.Output{}
	})
	if err != nil || failed != nil {
		return first(err, failed)
	}
	e.startChildren(c.Connection)
	return nil
}

// put takes a loaded connection in, on the engine's goroutine.
func (e *Engine) put(c *configured) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := slices.IndexFunc(e.conns, func(o *configured) bool { return o.Name == c.Name })
	switch {
	case at >= 0 && !e.conns[at].material.loaded:
		return ofPolicy(c.Name)
	case at < 0 && len(e.conns) >= maxLoaded:
		return room(len(e.conns), "connections")
	}
	if err := c.Check(); err != nil {
		return refused("%s", err)
	}
	e.endpoint.Drop(c.Name)
	if err := e.endpoint.Add(c.Connection); err != nil {
		return refused("%s", err)
	}
	if at >= 0 {
		e.conns[at] = c
		e.log("replaced vici connection: %s", c.Name)
	} else {
		e.conns = append(e.conns, c)
		e.log("added vici connection: %s", c.Name)
	}
	for _, l := range c.lacks {
		e.log("connection %s: %s, left out", c.Name, l)
	}
	return nil
}

// UnloadConnection forgets a connection that was loaded; its SAs stand.
func (e *Engine) UnloadConnection(ctx context.Context, name string) error {
	c := e.find(name)
	switch {
	case c == nil:
		return refused("unload: connection '%s' not found", name)
	case !c.material.loaded:
		return ofPolicy(name)
	}
	return e.do(ctx, func(time.Time) ike.Output {
		e.mu.Lock()
		e.conns = slices.DeleteFunc(e.conns, func(o *configured) bool { return o.Name == name && o.material.loaded })
		e.mu.Unlock()
		e.endpoint.Drop(name)
		if err := e.setTraps(); err != nil {
			e.log("%s", err)
		}
		e.pruneCounts()
		e.log("removed vici connection: %s", name)
		return ike.Output{}
	})
}

// speaksFrom refuses a connection for other addresses than the engine's.
func speaksFrom(ctx context.Context, c *policy.Connection, own netip.Addr) error {
	for _, a := range c.LocalAddrs {
		switch {
		case a.Any(), a.Prefix.IsValid() && a.Prefix.Contains(own):
			return nil
		case a.Host != "":
			if addr, err := resolve(ctx, a); err == nil && addr == own {
				return nil
			}
		}
	}
	return unsupported(c, "local_addrs: the engine speaks from %s alone", own)
}

// LoadAuthority adds or replaces an authority, of which peers that name no other
// are believed.
func (e *Engine) LoadAuthority(_ context.Context, name string, settings *backend.Section) error {
	return e.store.addAuthority(name, settings)
}

// UnloadAuthority forgets an authority that was loaded.
func (e *Engine) UnloadAuthority(_ context.Context, name string) error {
	return e.store.dropAuthority(name)
}

// LoadCertificate loads a certificate, of this side, of an authority (flag CA),
// or one between; or a CRL, which is listed and not asked.
func (e *Engine) LoadCertificate(_ context.Context, c backend.CertificateData) error {
	return e.store.addCertificate(c)
}

// LoadKey loads a private key and gives its id.
func (e *Engine) LoadKey(_ context.Context, k backend.KeyData) (string, error) {
	return e.store.addKey(k.Data)
}

// UnloadKey forgets a private key.
func (e *Engine) UnloadKey(_ context.Context, id string) error { return e.store.dropKey(id) }

// LoadSecret loads a preshared key. Passwords of EAP are kept and not used: the
// engine has no EAP.
func (e *Engine) LoadSecret(_ context.Context, s backend.Secret) error { return e.store.addSecret(s) }

// UnloadSecret forgets a shared secret.
func (e *Engine) UnloadSecret(_ context.Context, id string) error { return e.store.dropSecret(id) }

// FlushCertificates has nothing to do: the engine keeps no certificate that it
// was sent.
func (e *Engine) FlushCertificates(context.Context, string) error { return nil }

// ClearCredentials forgets what was loaded by command; what the policy's
// connections bring stays theirs.
func (e *Engine) ClearCredentials(context.Context) error {
	e.store.clear()
	return nil
}

// Credentials names what was loaded by command.
func (e *Engine) Credentials(context.Context) (backend.Credentials, error) {
	return e.store.named(), nil
}

// Certificates lists the certificates of the connections, and those that were
// loaded, each once.
func (e *Engine) Certificates(context.Context) ([]engine.Certificate, error) {
	return e.certificates(), nil
}

// Authorities lists those of the policy, and those that were loaded.
func (e *Engine) Authorities(context.Context) ([]engine.Authority, error) {
	list := slices.Clone(e.authorities)
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	for i := range e.store.authorities {
		list = append(list, e.store.authorities[i].Authority)
	}
	return list, nil
}
