package keylog

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab/need"
)

// everything gives tables with a row for each name that they can write.
func everything(t *testing.T, ours bool) *Tables {
	t.Helper()
	key := func(n int) suite.Secret { return suite.NewSecret(bytes.Repeat([]byte{0x5a}, n)) }
	tables := &Tables{}
	tables.AddIKEv1(IKEv1SA{0x0102030405060708, key(24)})
	for i, e := range ikev2Encr {
		for j, a := range ikev2Integ {
			if (e.ours || a.ours) && !ours || suite.AEAD(e.id) != (a.id == wire.IntegNone) {
				continue
			}
			encr, integ, err := suite.KeyLengths(e.id, e.bits, a.id)
			if err != nil {
				t.Fatal(err)
			}
			tables.AddIKEv2(IKEv2SA{wire.SPI(i + 1), wire.SPI(j + 1), e.id, e.bits, a.id, key(encr), key(encr), key(integ), key(integ)})
		}
	}
	for i, e := range espEncr {
		for j, a := range espInteg {
			if (e.ours || a.ours) && !ours || suite.AEAD(e.id) && a.id != wire.IntegNone || e.name == gcmPlain {
				continue
			}
			bits := 256
			encr, _, err := suite.KeyLengths(e.id, bits, wire.IntegNone)
			if err != nil {
				bits = 0
				if encr, _, err = suite.KeyLengths(e.id, bits, wire.IntegNone); err != nil {
					encr, bits = 16, 128 // a cipher that is only named here
				}
			}
			_, integ, err := suite.KeyLengths(wire.EncrNull, 0, a.id)
			if err != nil {
				t.Fatal(err)
			}
			if e.id == wire.EncrChaCha20Poly1305 || e.id == wire.EncrChaCha20Poly1305IIV {
				bits = 0
			}
			sa := ESPSA{Src: ExactAddr(netip.MustParseAddr("192.0.2.1")), Dst: AnyAddr(false), SPI: ExactSPI(wire.ESPSPI(256 + i<<8 + j)),
				EncrID: e.id, EncrBits: bits, IntegID: a.id, Key: key(encr), AuthKey: key(integ)}
			if j%2 == 1 {
				sa.Src, sa.Dst = AnyAddr(true), ExactAddr(netip.MustParseAddr("2001:db8::1"))
			}
			if ours && i%2 == 0 {
				sa.ESN, sa.High = true, 7
			}
			tables.AddESP(sa)
		}
	}
	return tables
}

// describe gives the content of tables with the keys, in order of their rows
// as files.
func describe(t *Tables) string {
	var b strings.Builder
	for _, sa := range t.ikev1Rows {
		fmt.Fprintf(&b, "%v %x\n", sa.Cookie, sa.Key.Reveal())
	}
	for _, sa := range t.ikev2Rows {
		fmt.Fprintf(&b, "%+v %x %x %x %x\n", *sa, sa.EI.Reveal(), sa.ER.Reveal(), sa.AI.Reveal(), sa.AR.Reveal())
	}
	for _, sa := range t.espRows {
		fmt.Fprintf(&b, "%v %v %v %v %d %d %d %x %x %v %d\n", sa.Src, sa.Dst, sa.Dst.Is6(), sa.SPI, sa.EncrID, sa.EncrBits, sa.IntegID, sa.Key.Reveal(), sa.AuthKey.Reveal(), sa.ESN, sa.High)
	}
	return b.String()
}

func TestWhatIsWrittenIsReadBackTheSame(t *testing.T) {
	for _, ours := range []bool{false, true} {
		tables := everything(t, ours)
		dir := filepath.Join(t.TempDir(), "new", "folder")
		if err := tables.Write(dir); err != nil {
			t.Fatal(err)
		}
		again, err := Load([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		// Rows that Wireshark refuses move to the end.
		want, got := strings.Split(describe(tables), "\n"), strings.Split(describe(again), "\n")
		count := map[string]int{}
		for _, line := range want {
			count[line]++
		}
		for _, line := range got {
			count[line]--
		}
		for line, n := range count {
			if n != 0 {
				t.Errorf("%+d of %s", -n, line)
			}
		}
	}
}

func TestFilesOfKeysAreForTheirOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	// A file that was open to all is replaced, not written into.
	if err := os.WriteFile(filepath.Join(dir, TableESP), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := everything(t, true).Write(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestRowsThatWiresharkRefusesComeLast(t *testing.T) {
	dir := t.TempDir()
	if err := everything(t, true).Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{TableIKEv2, TableESP} {
		b, err := os.ReadFile(filepath.Join(dir, table))
		if err != nil {
			t.Fatal(err)
		}
		first, last := -1, -1
		for i, line := range strings.Split(string(b), "\n") {
			switch {
			case strings.Contains(line, "ChaCha20") && first < 0:
				first = i
			case strings.Contains(line, "AES-CBC") && !strings.Contains(line, "XCBC") && !strings.Contains(line, "CMAC"):
				last = i
			}
		}
		if first < 0 || last < 0 || first < last {
			t.Errorf("%s: line %d comes before line %d", table, first, last)
		}
	}
}

func TestWriteRefusesWhatHasNoName(t *testing.T) {
	v2, esp := &Tables{}, &Tables{}
	v2.AddIKEv2(IKEv2SA{EncrID: wire.EncrCamelliaCBC, EncrBits: 128})
	esp.AddESP(ESPSA{EncrID: wire.EncrNull, IntegID: wire.IntegAES128GMAC})
	for want, tables := range map[string]*Tables{
		"key table ikev2_decryption_table: no table has a name for encryption algorithm 23 with a key of 128 bits": v2,
		"key table esp_sa: no table has a name for integrity algorithm 9 with a key of 0 bits":                     esp,
	} {
		if err := tables.Write(t.TempDir()); err == nil || err.Error() != want {
			t.Errorf("%v", err)
		}
	}
	integ, encr := &Tables{}, &Tables{}
	integ.AddIKEv2(IKEv2SA{EncrID: wire.Encr3DES, IntegID: 99})
	encr.AddESP(ESPSA{EncrID: 99})
	for _, tables := range []*Tables{integ, encr} {
		if err := tables.Write(t.TempDir()); err == nil {
			t.Error("written")
		}
	}
}

func TestWriteReportsAFolderThatCannotBeWritten(t *testing.T) {
	file := put(t, "file", "")
	err := everything(t, false).Write(filepath.Join(file, "below"))
	if err == nil || !strings.HasPrefix(err.Error(), "key tables: ") {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, TableIKEv2), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := everything(t, false).Write(dir); err == nil || !strings.HasPrefix(err.Error(), "key table ikev2_decryption_table: ") {
		t.Errorf("%v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// complaints gives what tshark says about key tables while it starts.
func complaints(t *testing.T, path string, tables *Tables) string {
	t.Helper()
	config := t.TempDir()
	if err := tables.Write(filepath.Join(config, "wireshark")); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "-r", corpus+"/psk-ecp256-aes256gcm16.pcap", "-c", "1")
	c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+config, "HOME="+config)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var about []string
	for _, line := range strings.Split(stderr.String(), "\n") {
		if strings.Contains(line, "_table") || strings.Contains(line, TableESP) || strings.Contains(line, "Length of") {
			about = append(about, line)
		}
	}
	return strings.Join(about, "\n")
}

func TestTsharkTakesEveryTableWithItsOwnNames(t *testing.T) {
	path := need.Program(t, "tshark")
	if said := complaints(t, path, everything(t, false)); said != "" {
		t.Errorf("tshark says: %s", said)
	}
	// The check can fail: a name that is ours alone is refused.
	if said := complaints(t, path, everything(t, true)); said == "" {
		t.Error("tshark takes names that it is not known to have")
	}
}
