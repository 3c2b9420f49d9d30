package vici

import (
	"context"
	"fmt"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// named gives a command whose message is one section with a name.
func (c *Client) named(ctx context.Context, op, name string, settings *backend.Section) error {
	sub, err := message(settings)
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	if name == "" || len(name) > 255 {
		return fmt.Errorf("%s: a name has 1 to 255 octets", op)
	}
	in := govici.NewMessage()
	if err := in.Set(name, sub); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	if c.addr.Engine {
		_ = in.Set(packet.Exact, "yes") // a string cannot fail
	}
	_, err = c.ask(ctx, op, in)
	return err
}

// command gives a command without an answer of interest.
func (c *Client) command(ctx context.Context, op string, pairs ...string) error {
	_, err := c.ask(ctx, op, c.values(pairs...))
	return err
}

// LoadConnection adds or replaces a connection.
func (c *Client) LoadConnection(ctx context.Context, name string, settings *backend.Section) error {
	return c.named(ctx, "load-conn", name, settings)
}

// UnloadConnection removes a connection; its SAs stay.
func (c *Client) UnloadConnection(ctx context.Context, name string) error {
	return c.command(ctx, "unload-conn", "name", name)
}

// LoadAuthority adds or replaces a certification authority.
func (c *Client) LoadAuthority(ctx context.Context, name string, settings *backend.Section) error {
	return c.named(ctx, "load-authority", name, settings)
}

// UnloadAuthority removes a certification authority.
func (c *Client) UnloadAuthority(ctx context.Context, name string) error {
	return c.command(ctx, "unload-authority", "name", name)
}

// LoadPool adds or replaces a pool of virtual addresses.
func (c *Client) LoadPool(ctx context.Context, name string, settings *backend.Section) error {
	return c.named(ctx, "load-pool", name, settings)
}

// UnloadPool removes a pool; the daemon refuses while addresses are leased.
func (c *Client) UnloadPool(ctx context.Context, name string) error {
	return c.command(ctx, "unload-pool", "name", name)
}

// LoadCertificate loads a certificate or CRL.
func (c *Client) LoadCertificate(ctx context.Context, cert backend.CertificateData) error {
	kind, flag := cert.Type, cert.Flag
	if kind == "" {
		kind = "X509"
	}
	if flag == "" && kind == "X509" {
		flag = "NONE"
	}
	return c.command(ctx, "load-cert", "type", kind, "flag", flag, "data", string(cert.Data))
}

// LoadKey loads a private key and gives its id.
func (c *Client) LoadKey(ctx context.Context, k backend.KeyData) (string, error) {
	kind := k.Type
	if kind == "" {
		kind = "any"
	}
	s, err := c.ask(ctx, "load-key", c.values("type", kind, "data", string(k.Data)))
	return s.text("id"), err
}

// UnloadKey forgets a private key.
func (c *Client) UnloadKey(ctx context.Context, id string) error {
	return c.command(ctx, "unload-key", "id", id)
}

// LoadToken takes a private key on a token into use and gives its id.
func (c *Client) LoadToken(ctx context.Context, t backend.TokenData) (string, error) {
	s, err := c.ask(ctx, "load-token", c.values("handle", t.Handle, "slot", t.Slot, "module", t.Module, "pin", t.PIN))
	return s.text("id"), err
}

// LoadSecret loads a shared secret.
func (c *Client) LoadSecret(ctx context.Context, s backend.Secret) error {
	in := c.values("id", s.ID, "type", s.Type, "data", string(s.Data))
	if len(s.Owners) > 0 {
		if err := in.Set("owners", s.Owners); err != nil {
			return fmt.Errorf("load-shared: %w", err)
		}
	}
	_, err := c.ask(ctx, "load-shared", in)
	return err
}

// UnloadSecret forgets a shared secret.
func (c *Client) UnloadSecret(ctx context.Context, id string) error {
	return c.command(ctx, "unload-shared", "id", id)
}

// FlushCertificates forgets cached certificates.
func (c *Client) FlushCertificates(ctx context.Context, kind string) error {
	return c.command(ctx, "flush-certs", "type", kind)
}

// ClearCredentials forgets every loaded certificate, key and secret.
func (c *Client) ClearCredentials(ctx context.Context) error {
	return c.command(ctx, "clear-creds")
}
