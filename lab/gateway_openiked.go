package lab

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// openIKED is iked in a guest. It proves itself by one key and certificate
// whatever the connection, and reads its settings when it starts: a change
// starts it anew, and its SAs go without a word to the peer.
type openIKED struct {
	guest   *Guest
	version string
	loaded  []GatewayConnection
	running bool
}

func newOpenIKED(ctx context.Context, g *Guest) (*openIKED, error) {
	if err := unpacked(ctx, g, "openiked"); err != nil {
		return nil, err
	}
	// The package's installation script would make this user.
	_, err := g.shell(ctx, "mkdir -p /var/empty /run/openiked && echo '_iked:x:64999:64999::/var/empty:/usr/sbin/nologin' >> /etc/passwd && "+
		"echo '_iked:x:64999:' >> /etc/group")
	if err != nil {
		return nil, err
	}
	out, err := g.shell(ctx, "iked -V")
	fields := strings.Fields(out) // "OpenIKED 7.2"
	if err != nil || len(fields) == 0 {
		return nil, errors.Join(err, fmt.Errorf("OpenIKED tells no version"))
	}
	return &openIKED{guest: g, version: fields[len(fields)-1]}, nil
}

func (o *openIKED) Software() Software { return OpenIKED }
func (o *openIKED) Version() string    { return o.version }
func (o *openIKED) Log() string        { return filepath.Join(o.guest.Dir, "iked.log") }

func (o *openIKED) Start(ctx context.Context) error {
	s := &guestScript{guest: o.guest}
	s.add("if p=$(pidof iked); then kill -KILL $p || true; %s; fi", waitGone("iked"))
	s.add(forget)
	if err := o.credentials(s); err != nil {
		return err
	}
	conf, err := o.conf()
	if err != nil {
		return err
	}
	s.file("/etc/iked.conf", "600", []byte(conf))
	s.add("iked -n -f /etc/iked.conf")
	s.add("iked -d -vv -f /etc/iked.conf >> /ctl/iked.log 2>&1 &")
	at := int64(0)
	if info, err := os.Stat(o.Log()); err == nil {
		at = info.Size()
	}
	if _, err := s.run(ctx); err != nil {
		return err
	}
	o.running = true
	// It opens its sockets before it has read its policies, and forgets what
	// began until then. This is the last setting that it tells of.
	return Eventually(ctx, guestBoot, "OpenIKED to have read its settings", func() bool {
		log, err := os.ReadFile(o.Log())
		return err == nil && strings.Contains(string(log[min(at, int64(len(log))):]), "stickyaddress")
	})
}

func (o *openIKED) Load(ctx context.Context, list ...GatewayConnection) error {
	o.loaded = slices.Clone(list)
	if !o.running {
		return nil
	}
	return o.Start(ctx)
}

// credentials writes the certificates and the key of the loaded connections.
func (o *openIKED) credentials(s *guestScript) error {
	var own *Identity
	s.add("rm -f /etc/iked/ca/* /etc/iked/certs/*")
	for i := range o.loaded {
		c := &o.loaded[i]
		if root := c.root(); root != nil {
			s.file(fmt.Sprintf("/etc/iked/ca/root%d.crt", i), "644", root.CertPEM())
		}
		if c.Identity == nil {
			continue
		}
		if own != nil && own != c.Identity {
			return fmt.Errorf("%w: OpenIKED has one certificate of its own for all connections", ErrNoOrder)
		}
		own = c.Identity
		for n, id := 0, own; id != nil && id.Issuer != nil; n, id = n+1, id.Issuer {
			dir := "certs"
			if n > 0 { // it sends what it believes
				dir = "ca"
			}
			s.file(fmt.Sprintf("/etc/iked/%s/own%d.crt", dir, n), "644", id.CertPEM())
		}
	}
	if own == nil {
		// It wants a key of its own even where it is to use a shared one.
		var err error
		if own, err = NewRoot("lab", ECDSA(elliptic.P256())); err != nil {
			return err
		}
	}
	key, err := own.KeyPEM()
	s.file("/etc/iked/private/local.key", "600", key)
	return err
}

// conf is iked.conf.
func (o *openIKED) conf() (string, error) {
	var b strings.Builder
	var dpd time.Duration
	fragment := "set fragmentation\n"
	for i := range o.loaded {
		dpd = max(dpd, o.loaded[i].DPDDelay)
		if o.loaded[i].NoFragmentation {
			fragment = "set nofragmentation\n"
		}
	}
	b.WriteString(fragment)
	if dpd > 0 {
		fmt.Fprintf(&b, "set dpd_check_interval %d\n", seconds(dpd))
	}
	for i := range o.loaded {
		policy, err := o.policy(&o.loaded[i])
		if err != nil {
			return "", err
		}
		b.WriteString(policy)
	}
	return b.String(), nil
}

// policy is a connection as iked.conf has it.
func (o *openIKED) policy(c *GatewayConnection) (string, error) {
	if c.ForceEncap {
		return "", fmt.Errorf("%w: OpenIKED cannot be made to encapsulate in UDP without a NAT", ErrNoOrder)
	}
	ike, err := ikedProposals(wire.ProtocolIKE, c.IKE)
	if err != nil {
		return "", err
	}
	esp, err := ikedProposals(wire.ProtocolESP, c.ESP)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	mode := "passive"
	if c.Start {
		mode = "active"
	}
	fmt.Fprintf(&b, "ikev2 \"%s\" %s", c.Name, mode)
	if c.Transport {
		b.WriteString(" transport")
	}
	b.WriteString(" esp")
	if len(c.LocalTS) == 0 || len(c.RemoteTS) == 0 {
		fmt.Fprintf(&b, " from %s to %s", c.Local, c.Remote)
	}
	for _, from := range c.LocalTS {
		for _, to := range c.RemoteTS {
			fmt.Fprintf(&b, " from %s to %s", from, to)
		}
	}
	peer := c.Remote
	if peer == "" {
		peer = "any"
	}
	fmt.Fprintf(&b, " local %s peer %s%s%s srcid %s dstid %s", c.Local, peer, ike, esp, ikedID(c.LocalID), ikedID(c.RemoteID))
	if c.RekeyIKE > 0 {
		fmt.Fprintf(&b, " ikelifetime %d", seconds(c.RekeyIKE))
	}
	if c.RekeyChild > 0 {
		fmt.Fprintf(&b, " lifetime %d", seconds(c.RekeyChild))
	}
	switch {
	case c.byKey():
		fmt.Fprintf(&b, " psk \"%s\"", c.PSK)
	case c.Identity == nil:
		return "", fmt.Errorf("%w: OpenIKED proves itself as its peer does: both by key or both by certificate", ErrNoOrder)
	case c.SignBy != "":
		b.WriteString(" " + c.SignBy)
	}
	for _, line := range c.Lines {
		b.WriteString(" " + line)
	}
	return b.String() + "\n", nil
}

// ikedID writes an identity as iked.conf has it.
func ikedID(id string) string {
	if strings.Contains(id, "=") {
		id = "/" + strings.ReplaceAll(id, ", ", "/")
	}
	return `"` + id + `"`
}

// ikedShownID writes an identity as iked shows and compares it: its type is
// before it.
func ikedShownID(id string) string {
	kind := "FQDN"
	switch addr, err := netip.ParseAddr(id); {
	case err == nil && addr.Is4():
		kind = "IPV4"
	case err == nil:
		kind = "IPV6"
	case strings.Contains(id, "="):
		kind = "ASN1_DN"
	case strings.Contains(id, "@"):
		kind = "UFQDN"
	}
	return kind + "/" + strings.Trim(ikedID(id), `"`)
}

// Initiate makes the connection an active one, which has to be read anew. The
// daemon begins within seconds and tries again each minute.
func (o *openIKED) Initiate(ctx context.Context, name string) error {
	list := slices.Clone(o.loaded)
	c, err := find(list, name)
	if err != nil {
		return err
	}
	c.Start = true
	return o.Load(ctx, list...)
}

// Terminate deletes all IKE SAs with the connection's peer.
func (o *openIKED) Terminate(ctx context.Context, name string) error {
	c, err := find(o.loaded, name)
	if err != nil {
		return err
	}
	_, err = o.guest.shell(ctx, "ikectl reset id '"+ikedShownID(c.RemoteID)+"'")
	return err
}

func (o *openIKED) TerminateChild(context.Context, string) error {
	return fmt.Errorf("%w: OpenIKED deletes no child alone", ErrNoOrder)
}

func (o *openIKED) RekeyIKE(context.Context, string) error {
	return fmt.Errorf("%w: OpenIKED rekeys an IKE SA by its lifetime only", ErrNoOrder)
}

func (o *openIKED) RekeyChild(context.Context, string) error {
	return fmt.Errorf("%w: OpenIKED rekeys a child by its lifetime only", ErrNoOrder)
}

func (o *openIKED) Established(ctx context.Context, name string) (int, error) {
	c, err := find(o.loaded, name)
	if err != nil {
		return 0, err
	}
	return established(ctx, o, `(?m)^iked_sas: [^\n]*<`+regexp.QuoteMeta(ikedShownID(c.RemoteID))+`>[^\n]* ESTABLISHED `)
}

func (o *openIKED) Status(ctx context.Context) (string, error) {
	return o.guest.shell(ctx, "ikectl show sa")
}

// Stop ends the daemon; it tells its peers nothing.
func (o *openIKED) Stop(ctx context.Context) error { return o.end(ctx, "TERM") }
func (o *openIKED) Kill(ctx context.Context) error { return o.end(ctx, "KILL") }

func (o *openIKED) end(ctx context.Context, sig string) error {
	o.running = false
	_, err := o.guest.shell(ctx, fmt.Sprintf("if p=$(pidof iked); then kill -%s $p || true; %s; fi", sig, waitGone("iked")))
	return err
}
