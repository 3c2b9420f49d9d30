package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Restage gives the two daemons of a bench another configuration, so that one
// bench serves many experiments: change gets copies of the ends as the bench
// began. All SAs are taken down before.
func (b *Bench) Restage(ctx context.Context, change func(a, r *End) error) (a, r End, err error) {
	a, r = b.EndA.fresh(), b.EndB.fresh()
	if change != nil {
		if err := change(&a, &r); err != nil {
			return a, r, err
		}
	}
	for _, s := range []struct {
		d   *Daemon
		end *End
	}{{b.A, &a}, {b.B, &r}} {
		if err := s.d.Restage(ctx, s.end); err != nil {
			return a, r, err
		}
	}
	return a, r, nil
}

// Restage gives a daemon the configuration of an end in place of what it has. Its SAs with the connection "gw" are taken down before.
func (d *Daemon) Restage(ctx context.Context, end *End) error {
	// There may be none: that is what --terminate then says.
	_, _ = d.Swanctl(ctx, "--terminate", "--ike", "gw", "--force")
	for _, folder := range []string{"x509", "x509ca", "x509crl", "private", "rsa", "ecdsa", "pkcs8"} {
		if err := os.RemoveAll(filepath.Join(d.Dir, folder)); err != nil {
			return fmt.Errorf("credentials of the experiment before: %w", err)
		}
	}
	_, flushed := d.Swanctl(ctx, "--flush-certs")
	return errors.Join(flushed, end.WriteCredentials(d.Dir), d.Load(ctx, end.SwanctlConf()))
}

// fresh copies an end, so that changes of the copy leave it alone.
func (e End) fresh() End {
	e.certPEM = nil
	for _, l := range []*[]string{&e.Conn, &e.Child, &e.Secrets, &e.Pools, &e.Local.Lines, &e.Remote.Lines} {
		*l = slices.Clone(*l)
	}
	return e
}
