package lab

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// libreswan is pluto in a guest.
type libreswan struct {
	guest   *Guest
	version string
	loaded  []GatewayConnection
	running bool
	// nickname is what NSS calls a certificate that was imported, by its octets.
	nickname map[string]string
}

// nssDB is libreswan's store of keys and certificates.
const nssDB = "sql:/var/lib/ipsec/nss"

func newLibreswan(ctx context.Context, g *Guest) (*libreswan, error) {
	if err := unpacked(ctx, g, "libreswan"); err != nil {
		return nil, err
	}
	if _, err := g.shell(ctx, "mkdir -p /run/pluto /var/lib/ipsec/nss && rm -f /var/lib/ipsec/nss/* && ipsec initnss"); err != nil {
		return nil, err
	}
	out, err := g.shell(ctx, "ipsec --version")
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(out) // "Libreswan 4.10"
	if len(fields) == 0 {
		return nil, fmt.Errorf("libreswan tells no version")
	}
	return &libreswan{guest: g, version: fields[len(fields)-1], nickname: map[string]string{}}, nil
}

func (l *libreswan) Software() Software { return Libreswan }
func (l *libreswan) Version() string    { return l.version }
func (l *libreswan) Log() string        { return filepath.Join(l.guest.Dir, "pluto.log") }

func (l *libreswan) Start(ctx context.Context) error {
	s := &guestScript{guest: l.guest}
	s.add(forget)
	// Unique ids would have one test's SA end another's.
	s.file("/etc/ipsec.conf", "600", []byte("config setup\n  logfile=/ctl/pluto.log\n  uniqueids=no\n"))
	s.file("/etc/ipsec.secrets", "600", l.secrets())
	s.add("ipsec pluto --config /etc/ipsec.conf")
	s.add("timeout %d sh -c 'until ipsec whack --status > /dev/null 2>&1; do sleep 0.1; done'", int(guestBoot/time.Second))
	if _, err := s.run(ctx); err != nil {
		return err
	}
	l.running = true
	list := l.loaded
	l.loaded = nil
	return l.Load(ctx, list...)
}

func (l *libreswan) Load(ctx context.Context, list ...GatewayConnection) error {
	s := &guestScript{guest: l.guest}
	for i := range l.loaded {
		s.add("ipsec whack --name %s --delete", l.loaded[i].Name)
	}
	l.loaded = slices.Clone(list)
	if !l.running {
		return nil
	}
	fresh := false
	for i := range list {
		imported, err := l.importIdentity(ctx, &list[i])
		if err != nil {
			return err
		}
		fresh = fresh || imported
	}
	if fresh {
		// The authorities that it has read once it keeps for minutes.
		return errors.Join(l.Kill(ctx), l.Start(ctx))
	}
	s.file("/etc/ipsec.secrets", "600", l.secrets())
	s.add("ipsec whack --rereadsecrets")
	for i := range list {
		c := &list[i]
		conf, err := l.conf(c)
		if err != nil {
			return err
		}
		file := "/etc/ipsec.d/" + c.Name + ".conf"
		s.file(file, "600", []byte(conf))
		s.add("ipsec addconn --config %s %s", file, c.Name)
		s.add(`ipsec whack --status > /run/pluto/status; grep -q '"%s["/]' /run/pluto/status`, c.Name)
		if c.Start {
			s.add("ipsec whack --asynchronous --initiate --name %s", c.Name)
		}
	}
	_, err := s.run(ctx)
	return err
}

// secrets are the shared keys of the loaded connections.
func (l *libreswan) secrets() []byte {
	var b bytes.Buffer
	for i := range l.loaded {
		if c := &l.loaded[i]; c.PSK != "" {
			fmt.Fprintf(&b, "%s %s : PSK \"%s\"\n", libreswanID(c.LocalID), libreswanID(c.RemoteID), c.PSK)
		}
	}
	return b.Bytes()
}

// libreswanID writes an identity as ipsec.conf has it.
func libreswanID(id string) string {
	switch {
	case id == "":
		return "%any"
	case isAddress(id), strings.Contains(id, "@"):
		return id
	case strings.Contains(id, "="):
		return `"` + id + `"`
	}
	return "@" + id
}

// conf is a connection as ipsec.conf has it.
func (l *libreswan) conf(c *GatewayConnection) (string, error) {
	ike, err := libreswanProposals(wire.ProtocolIKE, c.IKE)
	if err != nil {
		return "", err
	}
	esp, err := libreswanProposals(wire.ProtocolESP, c.ESP)
	if err != nil {
		return "", err
	}
	remote := c.Remote
	if remote == "" {
		remote = "%any"
	}
	lines := []string{"left=" + c.Local, "right=" + remote, "leftupdown=/bin/true", "auto=ignore",
		"ikev2=insist", "leftid=" + libreswanID(c.LocalID), "rightid=" + libreswanID(c.RemoteID)}
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, name+"="+value)
		}
	}
	add("ike", ike)
	add("esp", esp)
	if len(c.ESP) > 0 && !strings.Contains(esp, ";") {
		add("pfs", "no")
	}
	for _, side := range []struct {
		name string
		ts   []string
	}{{"left", c.LocalTS}, {"right", c.RemoteTS}} {
		switch len(side.ts) {
		case 0:
		case 1:
			add(side.name+"subnet", side.ts[0])
		default:
			add(side.name+"subnets", strings.Join(side.ts, ","))
		}
	}
	signs := c.SignBy
	if signs == "" {
		signs = "rsa,ecdsa"
	}
	own, peers := "secret", "secret"
	if c.Identity != nil {
		add("leftcert", `"`+l.nickname[string(c.Identity.Cert.Raw)]+`"`)
		add("leftsendcert", "always")
		add("sendca", "all")
		own = signs
	}
	if !c.byKey() {
		add("rightca", "%any")
		peers = signs
	}
	if own == peers {
		add("authby", own)
	} else {
		add("leftauth", map[bool]string{true: "secret", false: "rsasig"}[own == "secret"])
		add("rightauth", map[bool]string{true: "secret", false: "rsasig"}[peers == "secret"])
	}
	if c.RekeyIKE > 0 || c.RekeyChild > 0 {
		// An SA is replaced the margin before its life ends.
		const margin = 60
		add("rekeymargin", fmt.Sprintf("%ds", margin))
		add("rekeyfuzz", "0%")
		for name, d := range map[string]time.Duration{"ikelifetime": c.RekeyIKE, "salifetime": c.RekeyChild} {
			if d > 0 {
				add(name, fmt.Sprintf("%ds", margin+seconds(d)))
			}
		}
	}
	if c.DPDDelay > 0 {
		add("dpddelay", fmt.Sprint(seconds(c.DPDDelay)))
		add("dpdtimeout", fmt.Sprint(seconds(max(c.DPDTimeout, c.DPDDelay))))
		add("dpdaction", "clear")
	}
	if c.DPDTimeout > 0 {
		add("retransmit-timeout", fmt.Sprint(seconds(c.DPDTimeout)))
	}
	if c.ForceEncap {
		add("encapsulation", "yes")
	}
	if c.Transport {
		add("type", "transport")
	}
	if c.NoFragmentation {
		add("fragmentation", "no")
	}
	lines = append(lines, c.Lines...)
	return "conn " + c.Name + "\n  " + strings.Join(lines, "\n  ") + "\n", nil
}

// importIdentity puts a connection's certificates and key into the store, and
// says whether something was not in it before.
func (l *libreswan) importIdentity(ctx context.Context, c *GatewayConnection) (fresh bool, err error) {
	s := &guestScript{guest: l.guest}
	if root := c.root(); root != nil && l.nickname[string(root.Cert.Raw)] == "" {
		name := fmt.Sprintf("root-%d", len(l.nickname))
		s.file("/run/pluto/root.pem", "600", root.CertPEM())
		s.add("certutil -A -a -i /run/pluto/root.pem -n %s -t CT,C,C -d %s", name, nssDB)
		l.nickname[string(root.Cert.Raw)] = name
	}
	own := c.Identity
	if own != nil && l.nickname[string(own.Cert.Raw)] != "" {
		own = nil
	}
	if own != nil {
		var above []*x509.Certificate
		for ca := own.Issuer; ca != nil && ca.Issuer != nil; ca = ca.Issuer {
			above = append(above, ca.Cert)
		}
		const password = "lab" // of a file that lives as long as the test
		p12, err := pkcs12.Modern.Encode(own.Key, own.Cert, above, password)
		if err != nil {
			return false, fmt.Errorf("certificate for libreswan: %w", err)
		}
		s.file("/run/pluto/identity.p12", "600", p12)
		s.add("pk12util -i /run/pluto/identity.p12 -d %s -W %s -K ''", nssDB, password)
	}
	if len(s.lines) == 0 {
		return false, nil
	}
	out, err := s.run(ctx)
	if err != nil || own == nil {
		return true, err
	}
	m := regexp.MustCompile(`(?m)using nickname: (.+)$`).FindStringSubmatch(out)
	if m == nil {
		return true, fmt.Errorf("libreswan's store does not say what it calls the certificate: %s", lastLine(out))
	}
	l.nickname[string(own.Cert.Raw)] = m[1]
	return true, nil
}

func (l *libreswan) Initiate(ctx context.Context, name string) error {
	return l.order(ctx, name, "ipsec whack --initiate --name "+name)
}

func (l *libreswan) Terminate(ctx context.Context, name string) error {
	return l.order(ctx, name, "ipsec whack --terminate --name "+name)
}

// childState is the line of an established child in whack's list of states,
// whose number a delete wants.
var childState = regexp.MustCompile(`(?m)^000 #(\d+): "([^"/]+)[^\n]*STATE_V2_ESTABLISHED_CHILD_SA`)

func (l *libreswan) TerminateChild(ctx context.Context, name string) error {
	out, err := l.guest.shell(ctx, "ipsec whack --showstates")
	if err != nil {
		return err
	}
	for _, m := range childState.FindAllStringSubmatch(out, -1) {
		if m[2] == name {
			return l.order(ctx, name, "ipsec whack --deletestate "+m[1])
		}
	}
	return fmt.Errorf("libreswan has no child of %q", name)
}

// A rekeying that comes to nothing would be waited for as long as the IKE SA
// stands.

func (l *libreswan) RekeyIKE(ctx context.Context, name string) error {
	return l.order(ctx, name, "ipsec whack --asynchronous --rekey-ike --name "+name)
}

func (l *libreswan) RekeyChild(ctx context.Context, name string) error {
	return l.order(ctx, name, "ipsec whack --asynchronous --rekey-ipsec --name "+name)
}

// order runs a command that concerns a loaded connection.
func (l *libreswan) order(ctx context.Context, name, line string) error {
	if _, err := find(l.loaded, name); err != nil {
		return err
	}
	out, err := l.guest.shell(ctx, line)
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(out))
	}
	return nil
}

func (l *libreswan) Established(ctx context.Context, name string) (int, error) {
	return established(ctx, l, `"`+regexp.QuoteMeta(name)+`["/][^\n]*STATE_V2_ESTABLISHED_IKE_SA`)
}

func (l *libreswan) Status(ctx context.Context) (string, error) {
	return l.guest.shell(ctx, "ipsec whack --showstates && ipsec whack --trafficstatus")
}

func (l *libreswan) Stop(ctx context.Context) error {
	_, err := l.guest.shell(ctx, "ipsec whack --shutdown")
	return errors.Join(err, l.gone(ctx))
}

func (l *libreswan) Kill(ctx context.Context) error {
	_, err := l.guest.shell(ctx, "kill -KILL $(cat /run/pluto/pluto.pid)")
	return errors.Join(err, l.gone(ctx))
}

// gone waits until the daemon has ended.
func (l *libreswan) gone(ctx context.Context) error {
	l.running = false
	_, err := l.guest.shell(ctx, waitGone("pluto")+"; rm -f /run/pluto/pluto.pid /run/pluto/pluto.ctl")
	return err
}
