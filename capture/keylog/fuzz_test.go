package keylog

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// FuzzLoad reads any octets as a table of each kind. What was read is written
// and read again to the same.
func FuzzLoad(f *testing.F) {
	for i, table := range []string{"", TableIKEv1, TableIKEv2, TableESP} {
		files, err := filepath.Glob(corpus + "/psk-*.keys/*" + table + "*")
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), b)
		}
	}
	f.Add(uint8(3), []byte(`"IPv6","fe80::*/64","*","0x12******","AES-GCM [RFC4106]","0x00","ANY 64 bit authentication [no checking]","","64-bit",ff`))
	f.Add(uint8(1), []byte("0102030405060708,\"\\x30\\\"\\\\\"\n#\n"))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		tables := &Tables{}
		for _, err := range tables.read(bytes.NewReader(b), []string{"", TableIKEv1, TableIKEv2, TableESP}[kind%4]) {
			if err.Error() == "" {
				t.Error("an error without words")
			}
		}
		tables.ESP(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"), wire.ESPSPI(0x12000000))
		for _, sa := range tables.espRows {
			_, _ = sa.Cipher() // must not panic
		}
		for _, sa := range tables.ikev2Rows {
			_, _, _ = sa.Ciphers()
		}
		v2, err2 := tables.writeIKEv2()
		esp, err := tables.writeESP()
		if err != nil || err2 != nil {
			t.Fatalf("read but not writable: %v, %v", err, err2)
		}
		again := &Tables{}
		if errs := append(again.read(bytes.NewReader(v2), TableIKEv2), again.read(bytes.NewReader(esp), TableESP)...); len(errs) > 0 {
			t.Fatalf("written but not readable: %v\n%s%s", errs, v2, esp)
		}
		v2b, _ := again.writeIKEv2()
		espb, _ := again.writeESP()
		if !bytes.Equal(v2, v2b) || !bytes.Equal(esp, espb) {
			t.Fatalf("written twice:\n%s%s\nand\n%s%s", v2, esp, v2b, espb)
		}
	})
}
