package lab

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unpacked copies the packages of a cache folder into a guest, over the root
// that it shares with us. Debian's package trees have directories where a root
// may have symbolic links.
func unpacked(ctx context.Context, g *Guest, folder string) error {
	_, err := g.shell(ctx, "tar -C "+filepath.Join(GuestCache, folder)+" -cf - . | tar -C / -xf - --keep-directory-symlink && ldconfig")
	return err
}

// guestFile writes a file into a guest.
func guestFile(ctx context.Context, g *Guest, path, text string) error {
	name := strings.ReplaceAll(strings.Trim(path, "/"), "/", "_")
	if err := os.WriteFile(filepath.Join(g.Dir, name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("file for guest: %w", err)
	}
	_, err := g.shell(ctx, "mkdir -p "+filepath.Dir(path)+" && cp /ctl/"+name+" "+path+" && chmod 600 "+path)
	return err
}

// responderGuest is the guest of the responder.
func (b *Bench) responderGuest() (*Guest, error) {
	g, ok := b.HostB.(*Guest)
	if !ok {
		return nil, fmt.Errorf("scenario %s has no guest for its responder", b.Scenario.Name)
	}
	return g, nil
}

// withLibreswan has libreswan answer in place of a strongSwan responder, with
// the same identities, secret and networks.
func withLibreswan(ike, esp string) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		g, err := b.responderGuest()
		if err != nil {
			return err
		}
		if err := unpacked(ctx, g, "libreswan"); err != nil {
			return err
		}
		conf := fmt.Sprintf(`config setup
  logfile=/ctl/pluto.log

conn lab
  left=%s
  leftid=@%s
  leftsubnet=%s
  right=%s
  rightid=@%s
  rightsubnet=%s
  leftupdown=/bin/true
  authby=secret
  ikev2=insist
  ike=%s
  esp=%s
  auto=ignore
`, b.OuterB, b.EndB.Local.ID, b.EndB.LocalTS, b.OuterA, b.EndB.Remote.ID, b.EndB.RemoteTS, ike, esp)
		if err := guestFile(ctx, g, "/etc/ipsec.conf", conf); err != nil {
			return err
		}
		secret := fmt.Sprintf("@%s @%s : PSK %s\n", b.EndB.Local.ID, b.EndB.Remote.ID, labPSK)
		if err := guestFile(ctx, g, "/etc/ipsec.secrets", secret); err != nil {
			return err
		}
		if _, err := g.shell(ctx, "mkdir -p /run/pluto /var/lib/ipsec/nss && ipsec initnss && ipsec pluto --config /etc/ipsec.conf"); err != nil {
			return err
		}
		err = Eventually(ctx, 30*time.Second, "libreswan to answer", func() bool {
			_, err := g.shell(ctx, "ipsec whack --status")
			return err == nil
		})
		if err != nil {
			return err
		}
		if _, err := g.shell(ctx, "ipsec auto --add lab"); err != nil {
			return err
		}
		out, err := g.shell(ctx, "ipsec --version")
		b.Peer = strings.TrimPrefix(strings.TrimSpace(out), "Linux ")
		return err
	}
}

// withOpenIKED has OpenIKED answer in place of a strongSwan responder.
func withOpenIKED(ike, esp string) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		g, err := b.responderGuest()
		if err != nil {
			return err
		}
		if err := unpacked(ctx, g, "openiked"); err != nil {
			return err
		}
		conf := fmt.Sprintf("ikev2 \"lab\" passive esp from %s to %s local %s peer %s ikesa %s childsa %s srcid %s dstid %s psk %s\n",
			b.EndB.LocalTS, b.EndB.RemoteTS, b.OuterB, b.OuterA, ike, esp, b.EndB.Local.ID, b.EndB.Remote.ID, labPSK)
		if err := guestFile(ctx, g, "/etc/iked.conf", conf); err != nil {
			return err
		}
		// It wants a key of its own even where it is to use a shared one.
		own, err := NewRoot(b.EndB.Local.ID, ECDSA(elliptic.P256()))
		if err != nil {
			return err
		}
		key, err := own.KeyPEM()
		if err != nil {
			return err
		}
		if err := guestFile(ctx, g, "/etc/iked/private/local.key", string(key)); err != nil {
			return err
		}
		// The package's installation script would make this user.
		_, err = g.shell(ctx, "mkdir -p /var/empty /run/openiked && echo '_iked:x:64999:64999::/var/empty:/usr/sbin/nologin' >> /etc/passwd && "+
			"echo '_iked:x:64999:' >> /etc/group && iked -n -f /etc/iked.conf")
		if err != nil {
			return err
		}
		if _, err := g.Launch(ctx, nil, g.Dir, "iked", "-d", "-v", "-f", "/etc/iked.conf"); err != nil {
			return err
		}
		err = Eventually(ctx, 30*time.Second, "OpenIKED to listen", func() bool {
			out, err := g.shell(ctx, "ss -Hnul")
			return err == nil && strings.Contains(out, ":4500")
		})
		if err != nil {
			return err
		}
		// It listens before it has read its policies, and forgets what began
		// until then. It answers this when that is over.
		err = Eventually(ctx, 30*time.Second, "OpenIKED to have read its policies", func() bool {
			_, err := g.shell(ctx, "ikectl show sa")
			return err == nil
		})
		b.Peer = "OpenIKED 7.2"
		return errors.Join(err, pause(ctx, 5*time.Second))
	}
}
