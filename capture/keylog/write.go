package keylog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

// Write writes the tables that have rows into a folder, which it makes where
// it does not exist, each file with mode 0600 and replaced whole. Rows with a
// name that Wireshark 4.0 lacks come last, because it reads a table up to the
// first such row. It is the one place of the package where keys go out.
func (t *Tables) Write(dir string) error {
	v2, err := t.writeIKEv2()
	if err != nil {
		return fmt.Errorf("key table %s: %w", TableIKEv2, err)
	}
	esp, err := t.writeESP()
	if err != nil {
		return fmt.Errorf("key table %s: %w", TableESP, err)
	}
	var v1 bytes.Buffer
	for _, sa := range t.ikev1Rows {
		fmt.Fprintf(&v1, "%s,%s\n", sa.Cookie, reveal(sa.Key))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("key tables: %w", err)
	}
	for _, f := range []struct {
		name   string
		octets []byte
	}{{TableIKEv2, v2}, {TableIKEv1, v1.Bytes()}, {TableESP, esp}} {
		if len(f.octets) == 0 {
			continue
		}
		if err := Replace(filepath.Join(dir, f.name), f.octets); err != nil {
			return fmt.Errorf("key table %s: %w", f.name, err)
		}
	}
	return nil
}

// Replace puts a file of secrets, with mode 0600, in place at once, so that no
// reader sees half of it.
func Replace(path string, octets []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(octets)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// rows collects rows, those with names of our own behind the others.
type rows struct{ wireshark, ours bytes.Buffer }

func (r *rows) add(ours bool, format string, a ...any) {
	b := &r.wireshark
	if ours {
		b = &r.ours
	}
	fmt.Fprintf(b, format, a...)
}

func (r *rows) all() []byte { return append(r.wireshark.Bytes(), r.ours.Bytes()...) }

func (t *Tables) writeIKEv2() ([]byte, error) {
	var out rows
	for _, sa := range t.ikev2Rows {
		encr, err := byID(ikev2Encr, "encryption", sa.EncrID, sa.EncrBits)
		if err != nil {
			return nil, err
		}
		integ, err := byID(ikev2Integ, "integrity", sa.IntegID, 0)
		if err != nil {
			return nil, err
		}
		out.add(encr.ours || integ.ours, "%s,%s,%s,%s,\"%s\",%s,%s,\"%s\"\n", sa.InitiatorSPI, sa.ResponderSPI,
			reveal(sa.EI), reveal(sa.ER), encr.name, reveal(sa.AI), reveal(sa.AR), integ.name)
	}
	return out.all(), nil
}

func (t *Tables) writeESP() ([]byte, error) {
	var out rows
	for _, sa := range t.espRows {
		encr, err := byID(espEncr, "encryption", sa.EncrID, sa.EncrBits)
		if err != nil {
			return nil, err
		}
		integ, err := byID(espInteg, "integrity", sa.IntegID, 0)
		if err != nil {
			return nil, err
		}
		columns := ""
		if sa.ESN {
			columns = fmt.Sprintf(`,"64-bit",%08x`, sa.High)
		}
		out.add(encr.ours || integ.ours, "\"%s\",\"%s\",\"%s\",\"%s\",\"%s\",\"%s\",\"%s\",\"%s\"%s\n",
			family(sa.Dst.v6), sa.Src, sa.Dst, sa.SPI, encr.name, marked(sa.Key), integ.name, marked(sa.AuthKey), columns)
	}
	return out.all(), nil
}

// reveal spells a key out.
func reveal(k suite.Secret) string { return hex.EncodeToString(k.Reveal()) }

// marked spells a key out as esp_sa has it.
func marked(k suite.Secret) string {
	if k.Len() == 0 {
		return ""
	}
	return "0x" + reveal(k)
}
