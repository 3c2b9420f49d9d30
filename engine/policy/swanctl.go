package policy

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// Rendering is a policy as files for swanctl.
type Rendering struct {
	Conf []byte // swanctl.conf
	// Keys are the private keys that the connections need. strongSwan loads
	// private keys only from its own folder private, so they have to be put
	// there: under these names.
	Keys []KeyFile
	// Secrets says that Conf holds secrets.
	Secrets bool
}

// KeyFile is a private key for strongSwan's folder private.
type KeyFile struct {
	Name string
	From SecretRef
}

// Swanctl writes the settings as swanctl.conf. With secrets, preshared keys and
// passwords are read now and stand in the text; without, their places are
// named in comments, and swanctl has to get them otherwise.
func (t *Tree) Swanctl(ctx context.Context, secrets bool) (*Rendering, error) {
	r := &Rendering{Secrets: secrets && len(t.Secrets) > 0}
	w := &confWriter{}
	w.line("# Written by cvlanctl policy render: changes belong into the policy.")
	for _, note := range t.Notes {
		w.comment(note)
	}
	for i, k := range t.Keys {
		name := fmt.Sprintf("policy-key-%d.pem", i+1)
		if k.File != "" {
			name = filepath.Base(k.File)
			if slices.ContainsFunc(r.Keys, func(f KeyFile) bool { return f.Name == name }) {
				name = fmt.Sprintf("%d-%s", i+1, name)
			}
		}
		r.Keys = append(r.Keys, KeyFile{name, k})
		w.comment(fmt.Sprintf("The private key in %s must stand in swanctl's folder private, as %s or by any name.", k, name))
	}
	w.sections("connections", t.Connections)
	w.sections("authorities", t.Authorities)
	w.sections("pools", t.Pools)
	if len(t.Secrets) > 0 {
		w.line("")
		w.open("secrets")
		for i := range t.Secrets {
			if err := w.secret(ctx, &t.Secrets[i], secrets); err != nil {
				return nil, err
			}
		}
		w.close()
	}
	r.Conf = w.b.Bytes()
	return r, nil
}

type confWriter struct {
	b     bytes.Buffer
	depth int
}

func (w *confWriter) line(s string) {
	if s != "" {
		for range w.depth {
			w.b.WriteString("    ")
		}
	}
	w.b.WriteString(s)
	w.b.WriteByte('\n')
}

func (w *confWriter) comment(s string) { w.line("# " + clean.Text(s)) }

func (w *confWriter) open(name string) {
	w.line(name + " {")
	w.depth++
}

func (w *confWriter) close() {
	w.depth--
	w.line("}")
}

func (w *confWriter) sections(name string, list []Named) {
	if len(list) == 0 {
		return
	}
	w.line("")
	w.open(name)
	for i, s := range list {
		if i > 0 {
			w.line("")
		}
		w.open(s.Name)
		w.section(s.Settings)
		w.close()
	}
	w.close()
}

func (w *confWriter) section(s *backend.Section) {
	for i, item := range s.Items {
		switch {
		case item.Section != nil:
			if i > 0 {
				w.line("")
			}
			w.open(item.Name)
			w.section(item.Section)
			w.close()
		case item.List != nil:
			w.line(item.Name + " = " + confValue(strings.Join(item.List, ", ")))
		default:
			w.line(item.Name + " = " + confValue(item.Value))
		}
	}
}

var plainValue = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.:/%@+*-][A-Za-z0-9_.:/%@+*, -]*$`) })

// confValue quotes a value where swanctl's grammar asks for it.
func confValue(s string) string {
	if plainValue().MatchString(s) && !strings.HasSuffix(s, " ") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}

// secret writes one preshared key or password. It stands in Base64, which
// takes any octets, and does not give them to a passing eye.
func (w *confWriter) secret(ctx context.Context, c *Credential, reveal bool) error {
	if !reveal {
		w.comment(fmt.Sprintf("%s: the secret is in %s; --with-secrets writes it here", c.Name, c.Secret))
		return nil
	}
	s, err := c.Secret.Resolve(ctx)
	if err != nil {
		return err
	}
	w.open(c.Name)
	for i, owner := range c.Owners {
		w.line(fmt.Sprintf("id-%d = %s", i+1, confValue(owner)))
	}
	octets := s.Reveal()
	w.line(`secret = "0s` + base64.StdEncoding.EncodeToString(octets) + `"`)
	clear(octets)
	s.Wipe()
	w.close()
	return nil
}
