package serve

import (
	"context"
	"errors"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

func loadConn(ctx context.Context, r *request) ([]packet.Element, error) {
	name, settings, err := r.section()
	if err != nil {
		return nil, err
	}
	return ok(r.backend.LoadConnection(ctx, name, settings))
}

func loadAuthority(ctx context.Context, r *request) ([]packet.Element, error) {
	name, settings, err := r.section()
	if err != nil {
		return nil, err
	}
	return ok(r.backend.LoadAuthority(ctx, name, settings))
}

func loadPool(ctx context.Context, r *request) ([]packet.Element, error) {
	name, settings, err := r.section()
	if err != nil {
		return nil, err
	}
	return ok(r.backend.LoadPool(ctx, name, settings))
}

// unload carries out a command that takes something out by name.
func (r *request) unload(ctx context.Context, key, what string, f func(context.Context, string) error) ([]packet.Element, error) {
	name := r.text(key)
	if name == "" {
		return nil, errors.New("unload: missing " + what)
	}
	return ok(f(ctx, name))
}

func unloadConn(ctx context.Context, r *request) ([]packet.Element, error) {
	return r.unload(ctx, "name", "connection name", r.backend.UnloadConnection)
}

func unloadAuthority(ctx context.Context, r *request) ([]packet.Element, error) {
	return r.unload(ctx, "name", "authority name", r.backend.UnloadAuthority)
}

func unloadPool(ctx context.Context, r *request) ([]packet.Element, error) {
	return r.unload(ctx, "name", "pool name", r.backend.UnloadPool)
}

func unloadKey(ctx context.Context, r *request) ([]packet.Element, error) {
	return r.unload(ctx, "id", "key id", r.backend.UnloadKey)
}

func unloadShared(ctx context.Context, r *request) ([]packet.Element, error) {
	return r.unload(ctx, "id", "unique identifier", r.backend.UnloadSecret)
}

func loadCert(ctx context.Context, r *request) ([]packet.Element, error) {
	c := backend.CertificateData{Type: r.text("type"), Flag: r.text("flag"), Data: []byte(r.text("data"))}
	switch {
	case c.Type == "":
		return nil, errors.New("certificate type missing")
	case len(c.Data) == 0:
		return nil, errors.New("certificate data missing")
	}
	c.Type, c.Flag = kindOf(c.Type, c.Flag)
	return ok(r.backend.LoadCertificate(ctx, c))
}

func loadKey(ctx context.Context, r *request) ([]packet.Element, error) {
	k := backend.KeyData{Type: r.text("type"), Data: []byte(r.text("data"))}
	defer clear(k.Data)
	switch {
	case k.Type == "":
		return nil, errors.New("key type missing")
	case len(k.Data) == 0:
		return nil, errors.New("key data missing")
	}
	id, err := r.backend.LoadKey(ctx, k)
	if err != nil {
		return nil, err
	}
	return append(done(), packet.Value("id", id)), nil
}

func loadToken(ctx context.Context, r *request) ([]packet.Element, error) {
	t := backend.TokenData{Handle: r.text("handle"), Slot: r.text("slot"), Module: r.text("module"), PIN: r.text("pin")}
	if t.Handle == "" {
		return nil, errors.New("keyid missing")
	}
	id, err := r.backend.LoadToken(ctx, t)
	if err != nil {
		return nil, err
	}
	return append(done(), packet.Value("id", id)), nil
}

func loadShared(ctx context.Context, r *request) ([]packet.Element, error) {
	s := backend.Secret{ID: r.text("id"), Type: r.text("type"), Data: []byte(r.text("data")), Owners: r.list("owners")}
	defer clear(s.Data)
	switch {
	case s.Type == "":
		return nil, errors.New("shared key type missing")
	case packet.Get(r.in, "data") == nil:
		return nil, errors.New("shared key data missing")
	}
	return ok(r.backend.LoadSecret(ctx, s))
}

// ids is the answer that names what is loaded.
func (r *request) ids(ctx context.Context, pick func(*backend.Credentials) []string) ([]packet.Element, error) {
	c, err := r.backend.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	return []packet.Element{packet.List("keys", pick(&c)...)}, nil
}

func getKeys(ctx context.Context, r *request) ([]packet.Element, error) {
	return r.ids(ctx, func(c *backend.Credentials) []string { return c.Keys })
}

func getShared(ctx context.Context, r *request) ([]packet.Element, error) {
	return r.ids(ctx, func(c *backend.Credentials) []string { return c.Secrets })
}

func flushCerts(ctx context.Context, r *request) ([]packet.Element, error) {
	return ok(r.backend.FlushCertificates(ctx, r.text("type")))
}

func clearCreds(ctx context.Context, r *request) ([]packet.Element, error) {
	return ok(r.backend.ClearCredentials(ctx))
}
