package keylog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// put writes a file into a fresh folder and gives its path.
func put(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads a table that has to be right.
func load(t *testing.T, name, content string) *Tables {
	t.Helper()
	tables, err := Load([]string{put(t, name, content)})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// digits gives n octets in hexadecimal.
func digits(n int) string { return strings.Repeat("5a", n) }

func TestIKEv2RowsAreFoundBySPIs(t *testing.T) {
	tables := load(t, TableIKEv2, "# a comment\r\n\r\n"+
		"0102030405060708,1112131415161718,"+digits(16)+","+digits(16)+`,"AES-CBC-128 [RFC3602]",`+digits(32)+","+digits(32)+`,"HMAC_SHA2_256_128 [RFC4868]"`+"\r\n"+
		`0x0102030405060709,"1112131415161718",0x`+digits(36)+",\""+digits(36)+`","AES-GCM-256 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]" # trailing`+"\n"+
		"0102030405060708,1112131415161718,"+digits(24)+","+digits(24)+`,"3DES [RFC2451]",`+digits(20)+","+digits(20)+`,"HMAC_SHA1_96 [RFC2404]"`)
	if a, b, c := tables.Len(); a != 3 || b != 0 || c != 0 {
		t.Fatalf("%d, %d, %d rows", a, b, c)
	}
	// Of two rows for one SA the last one counts.
	sa := tables.IKEv2(0x0102030405060708, 0x1112131415161718)
	if sa == nil || sa.EncrID != wire.Encr3DES || sa.EncrBits != 0 || sa.IntegID != wire.IntegSHA1_96 || sa.EI.Len() != 24 || sa.AR.Len() != 20 {
		t.Fatalf("%+v", sa)
	}
	sa = tables.IKEv2(0x0102030405060709, 0x1112131415161718)
	if sa == nil || sa.EncrID != wire.EncrAESGCM16 || sa.EncrBits != 256 || sa.IntegID != wire.IntegNone || sa.ER.Len() != 36 || sa.AI.Len() != 0 {
		t.Fatalf("%+v", sa)
	}
	if _, _, err := sa.Ciphers(); err != nil {
		t.Error(err)
	}
	if tables.IKEv2(0x1112131415161718, 0x0102030405060708) != nil {
		t.Error("found with the SPIs exchanged")
	}
}

func TestIKEv1RowsAreFoundByCookie(t *testing.T) {
	tables := load(t, TableIKEv1, "0102030405060708,"+digits(32)+"\n")
	if k := tables.IKEv1(0x0102030405060708); k == nil || k.Key.Len() != 32 {
		t.Fatalf("%+v", k)
	}
	if tables.IKEv1(1) != nil {
		t.Error("found with another cookie")
	}
}

func TestTheTableIsToldByFileNameOrFirstRow(t *testing.T) {
	v1 := "0102030405060708," + digits(16) + "\n"
	v2 := "0102030405060708,1112131415161718," + digits(24) + "," + digits(24) + `,"3DES [RFC2451]",` + digits(20) + "," + digits(20) + `,"HMAC_SHA1_96 [RFC2404]"` + "\n"
	esp := `"IPv4","*","*","*","NULL","","HMAC-SHA-1-96 [RFC2404]","0x` + digits(20) + `"` + "\n"
	for _, c := range []struct {
		file, content string
		want          string
	}{
		{"ikev1_decryption_table.txt", v1, "0 1 0"}, {"x", v1, "0 1 0"},
		{"my-ikev2_decryption_table", v2, "1 0 0"}, {"keys.csv", "\ufeff# exported\n" + v2, "1 0 0"},
		{"esp_sa.bak", esp, "0 0 1"}, {"x.csv", esp, "0 0 1"}, {"empty", "", "0 0 0"},
	} {
		a, b, d := load(t, c.file, c.content).Len()
		if got := fmt.Sprint(a, b, d); got != c.want {
			t.Errorf("%s: %s rows, want %s", c.file, got, c.want)
		}
	}
}

func TestAFolderGivesTheTablesItHas(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, TableIKEv1), []byte("0102030405060708,"+digits(16)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "preferences"), []byte("not a table"), 0o600); err != nil {
		t.Fatal(err)
	}
	tables, err := Load([]string{dir, put(t, "more", "0102030405060709,"+digits(16))})
	if err != nil || tables.IKEv1(0x0102030405060708) == nil || tables.IKEv1(0x0102030405060709) == nil {
		t.Errorf("%v", err)
	}
	if _, err := Load([]string{t.TempDir()}); err == nil || !strings.Contains(err.Error(), "has none of ikev2_decryption_table") {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := Load([]string{filepath.Join(dir, "missing")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestESPPatternsMatchAsInWireshark(t *testing.T) {
	row := func(family, src, dst, spi string) string {
		return fmt.Sprintf(`"%s","%s","%s","%s","AES-CBC [RFC3602]","0x%s","HMAC-SHA-256-128 [RFC4868]","0x%s"`+"\n", family, src, dst, spi, digits(16), digits(32))
	}
	tables := load(t, TableESP, row("IPv4", "192.0.2.1", "192.0.2.2", "0x11223344")+ // 0
		row("IPv4", "*", "*", "0x11223344")+ // 1
		row("IPv4", "10.0.0.0/9", "10.*.*.1", "0x1122****")+ // 2
		row("IPv6", "2001:db8::1", "2001:db8::/32", "287454020")+ // 3
		row("IPv6", "fe80::*", "*", "*")+ // 4
		row("IPv4", "192.0.2.0/31", "*", "0X0")) // 5
	for _, c := range []struct {
		src, dst string
		spi      wire.ESPSPI
		want     string
	}{
		{"192.0.2.1", "192.0.2.2", 0x11223344, "[0 1]"},
		{"192.0.2.2", "192.0.2.1", 0x11223344, "[1]"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", 0x11223344, "[0 1]"},
		{"192.0.2.1", "192.0.2.2", 0x11223345, "[]"},
		{"10.127.0.1", "10.9.8.1", 0x1122ffff, "[2]"},
		{"10.127.0.1", "10.9.8.1", 0x11223344, "[1 2]"},
		{"10.128.0.1", "10.9.8.1", 0x1122ffff, "[]"},
		{"10.127.0.1", "10.9.8.2", 0x1122ffff, "[]"},
		{"10.127.0.1", "10.9.8.1", 0x1123ffff, "[]"},
		{"2001:db8::1", "2001:db8:ffff::9", 0x11223344, "[3]"},
		{"2001:db8::1", "2001:db9::9", 0x11223344, "[]"},
		{"fe80::abcd", "ff02::1", 7, "[4]"},
		{"fe80::1:abcd", "ff02::1", 7, "[]"},
		{"192.0.2.0", "1.2.3.4", 0, "[5]"},
		{"192.0.2.2", "1.2.3.4", 0, "[]"},
	} {
		found := []int{}
		for _, sa := range tables.ESP(netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst), c.spi) {
			for i := range tables.espRows {
				if tables.espRows[i] == sa {
					found = append(found, i)
				}
			}
		}
		if fmt.Sprint(found) != c.want {
			t.Errorf("%s > %s %v: rows %v, want %s", c.src, c.dst, c.spi, found, c.want)
		}
	}
	if got := tables.ESP(netip.Addr{}, netip.Addr{}, 0x11223344); len(got) != 0 {
		t.Errorf("no address matches %d rows", len(got))
	}
}

func TestZeroPatternsMatchEverything(t *testing.T) {
	var a AddrPattern
	var s SPIPattern
	if !a.Matches(netip.MustParseAddr("192.0.2.1")) || a.Matches(netip.MustParseAddr("::1")) || !s.Matches(0) || !s.Matches(0xffffffff) {
		t.Error("they do not")
	}
	if a.String() != "*" || s.String() != "*" {
		t.Errorf("%v %v", a, s)
	}
	if _, err := ParseAddrPattern(strings.Repeat("1", 65), false); err == nil {
		t.Error("an endless address was read")
	}
}

func TestESPKeysGiveTheKeyLength(t *testing.T) {
	for _, c := range []struct {
		encr, key, integ, auth string
		id                     uint16
		bits                   int
		integID                uint16
		keyLen, authLen        int
	}{
		{"AES-CBC [RFC3602]", "0x" + digits(24), "HMAC-SHA-1-96 [RFC2404]", "0x" + digits(20), wire.EncrAESCBC, 192, wire.IntegSHA1_96, 24, 20},
		{"AES-CTR [RFC3686]", "0x" + digits(20), "NULL", "", wire.EncrAESCTR, 128, wire.IntegNone, 20, 0},
		{"AES-GCM with 8 octet ICV [RFC4106]", "0x" + digits(36), "NULL", "", wire.EncrAESGCM8, 256, 0, 36, 0},
		{"AES-GCM [RFC4106]", "0x" + digits(20), "NULL", "", wire.EncrAESGCM16, 128, 0, 20, 0},
		{"AES-GCM [RFC4106]", "0x" + digits(20), "ANY 128 bit authentication [no checking]", "", wire.EncrAESGCM16, 128, 0, 20, 0},
		{"AES-GCM [RFC4106]", "0x" + digits(20), "ANY 96 bit authentication [no checking]", "", wire.EncrAESGCM12, 128, 0, 20, 0},
		{"AES-GCM [RFC4106]", "0x" + digits(20), "ANY 64 bit authentication [no checking]", "", wire.EncrAESGCM8, 128, 0, 20, 0},
		{"AES-CCM with 12 octet ICV [RFC4309]", "0x" + digits(35), "NULL", "", wire.EncrAESCCM12, 256, 0, 35, 0},
		{"aes-gmac", "0x" + digits(20), "NULL", "", wire.EncrNullAuthAESGMAC, 128, 0, 20, 0},
		{"TripleDES-CBC [RFC2451]", digits(24), "HMAC-MD5-96 [RFC2403]", digits(16), wire.Encr3DES, 0, wire.IntegMD5_96, 24, 16},
		{"DES-CBC [RFC2405]", "0x" + digits(8), "NULL", "", wire.EncrDES, 0, wire.IntegNone, 8, 0},
		{"NULL", "", "HMAC-SHA-512-256 [RFC4868]", "0x" + digits(64), wire.EncrNull, 0, wire.IntegSHA512256, 0, 64},
		{"NULL", "0x", "NULL", "0x", wire.EncrNull, 0, wire.IntegNone, 0, 0},
		{"ChaCha20 with Poly1305 [RFC7634]", "0x" + digits(36), "NULL", "", wire.EncrChaCha20Poly1305, 0, 0, 36, 0},
		{"ENCR_CHACHA20_POLY1305", "0x" + digits(36), "NULL", "", wire.EncrChaCha20Poly1305, 0, 0, 36, 0},
		{"ChaCha20 with Poly1305 and IIV [RFC7634 & RFC8750]", "0x" + digits(36), "NULL", "", wire.EncrChaCha20Poly1305IIV, 0, 0, 36, 0},
		{"AES-CBC [RFC3602]", "0x" + digits(16), "MAC-RIPEMD-160-96 [RFC2857]", "0x" + digits(20), wire.EncrAESCBC, 128, suite.IntegUnchecked + 12, 16, 0},
		{"AES-CBC", "sixteen octets..", "NULL", "", wire.EncrAESCBC, 128, wire.IntegNone, 16, 0},
		{"BLOWFISH-CBC [RFC2451]", "0x" + digits(16), "NULL", "", wire.EncrBlowfish, 128, wire.IntegNone, 16, 0},
	} {
		tables := load(t, TableESP, fmt.Sprintf(`"IPv4","*","*","*","%s","%s","%s","%s"`, c.encr, c.key, c.integ, c.auth))
		sa := tables.espRows[0]
		if sa.EncrID != c.id || sa.EncrBits != c.bits || sa.IntegID != c.integID || sa.Key.Len() != c.keyLen || sa.AuthKey.Len() != c.authLen || sa.ESN {
			t.Errorf("%s: %+v", c.encr, sa)
		}
		_, err := sa.Cipher()
		var unsupported *suite.AlgorithmError
		if (err != nil) != (c.id == wire.EncrBlowfish) || err != nil && !errors.As(err, &unsupported) {
			t.Errorf("%s: %v", c.encr, err)
		}
	}
}

// Wireshark takes the characters of a key without 0x as the key itself.
func TestAnESPKeyWithout0xIsHexWhereThatFitsElseCharacters(t *testing.T) {
	tables := load(t, TableESP, `"IPv4","*","*","*","AES-CBC","0123456789abcdef0123456789abcdef","NULL",""`+"\n"+
		`"IPv4","*","*","*","AES-CBC","0123456789abcdef","NULL",""`+"\n"+
		`"IPv4","*","*","*","AES-CBC","\x30123456789\\\"cdeg","NULL",""`)
	for i, want := range []string{"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", "0123456789abcdef", `0123456789\"cdeg`[:16]} {
		if got := tables.espRows[i].Key.Reveal(); string(got) != want {
			t.Errorf("row %d: %q, want %q", i, got, want)
		}
	}
}

func TestExtendedSequenceNumberColumnsOfNewerWireshark(t *testing.T) {
	tables := load(t, TableESP, `"IPv4","*","*","*","NULL","","NULL","","32-bit",00000000`+"\n"+
		`"IPv4","*","*","*","NULL","","NULL","","64-bit",0000000f,"something newer"`+"\n"+`"IPv4","*","*","*","NULL","","NULL","","64-bit"`)
	for i, want := range []string{"false 0", "true 15", "true 0"} {
		if got := fmt.Sprint(tables.espRows[i].ESN, tables.espRows[i].High); got != want {
			t.Errorf("row %d: %s, want %s", i, got, want)
		}
	}
	c, err := tables.espRows[1].Cipher()
	if err != nil || !c.ESN() {
		t.Errorf("%v", err)
	}
}

func TestErrorsNameFileLineAndReasonAndNeverAKey(t *testing.T) {
	var out strings.Builder
	key := "c0ffee" + digits(13)
	for _, c := range []struct{ table, row string }{
		{TableIKEv1, "0102"},
		{TableIKEv1, "01020304," + key},
		{TableIKEv1, "010203040506070g," + key},
		{TableIKEv1, "0102030405060708,"},
		{TableIKEv1, "0102030405060708," + key + "5"},
		{TableIKEv1, "0102030405060708," + key + "xx"},
		{TableIKEv1, "0102030405060708," + strings.Repeat("c0ffee", 100)},
		{TableIKEv2, "1,2,3"},
		{TableIKEv2, "01020304050607,1112131415161718," + key + "," + key + `,"AES-CBC-128",,,"NONE"`},
		{TableIKEv2, "0102030405060708,11121314151617181," + key + "," + key + `,"AES-CBC-128",,,"NONE"`},
		{TableIKEv2, "0102030405060708,1112131415161718," + key + "," + key + `,"AES-CBC-512 [RFC3602]",,,"NONE"`},
		{TableIKEv2, "0102030405060708,1112131415161718," + key + "," + key + `,"AES-CBC-128 [RFC3602]",,,"HMAC_SHA3"`},
		{TableIKEv2, "0102030405060708,1112131415161718," + key + "," + key + `,"AES-CBC-256 [RFC3602]",,,"NONE [RFC4306]"`},
		{TableIKEv2, "0102030405060708,1112131415161718," + key + "," + key + `,"AES-CBC-128 [RFC3602]",` + key + "," + key + `,"HMAC_SHA1_96 [RFC2404]"`},
		{TableIKEv2, "0102030405060708,1112131415161718," + key + "," + key + `zz,"AES-CBC-128 [RFC3602]",,,"NONE [RFC4306]"`},
		{TableIKEv2, "0102030405060708,1112131415161718," + key + ",\"" + key + `,"AES-CBC-128 [RFC3602]",,,"NONE [RFC4306]`},
		{TableIKEv2, `"a" b,c`},
		{TableIKEv2, `"\q"`},
		{TableIKEv2, `"\xg0"`},
		{TableIKEv2, strings.Repeat(",", 32)},
		{TableESP, `"IPv4","*"`},
		{TableESP, `"IP","*","*","*","NULL","","NULL",""`},
		{TableESP, `"IPv4","300.1.1.1","*","*","NULL","","NULL",""`},
		{TableESP, `"IPv4","*","2001:db8::1","*","NULL","","NULL",""`},
		{TableESP, `"IPv4","*","10.0.0.0/33","*","NULL","","NULL",""`},
		{TableESP, `"IPv6","*","fe80::1%eth0","*","NULL","","NULL",""`},
		{TableESP, `"IPv4","*","*","0x123456789","NULL","","NULL",""`},
		{TableESP, `"IPv4","*","*","0x12**","NULL","","NULL",""`},
		{TableESP, `"IPv4","*","*","0x12****zz","NULL","","NULL",""`},
		{TableESP, `"IPv4","*","*","c0de","NULL","","NULL",""`},
		{TableESP, `"IPv4","*","*","*","ROT13","","NULL",""`},
		{TableESP, `"IPv4","*","*","*","NULL","","CRC32",""`},
		{TableESP, `"IPv4","*","*","*","AES-GCM with 16 octet ICV [RFC4106]","0x` + key + `","NULL",""`},
		{TableESP, `"IPv4","*","*","*","TripleDES-CBC [RFC2451]","0x` + key + `","NULL",""`},
		{TableESP, `"IPv4","*","*","*","CAST5-CBC [RFC2144]","0x` + key + `5","NULL",""`},
		{TableESP, `"IPv4","*","*","*","AES-CBC [RFC3602]","` + strings.Repeat("c0ffee", 100) + `","NULL",""`},
		{TableESP, `"IPv4","*","*","*","AES-CBC [RFC3602]","0x` + key + `","HMAC-SHA-256-128 [RFC4868]","0x` + key + `"`},
		{TableESP, `"IPv4","*","*","*","AES-CBC [RFC3602]","0x` + key + `","HMAC-SHA-256-128 [RFC4868]","0x` + key + `5"`},
		{TableESP, `"IPv4","*","*","` + key + `","NULL","","NULL",""`}, // a column too far left
		{TableESP, `"IPv4","*","*","*","0x` + key + `","NULL","",""`},
		{TableIKEv2, "0102030405060708," + key + "," + key + `,"AES-CBC-128 [RFC3602]",,,"NONE [RFC4306]",`},
		{TableESP, `"IPv4","*","*","*","NULL","","NULL","","48-bit"`},
		{TableESP, `"IPv4","*","*","*","NULL","","NULL","","64-bit","high"`},
		{"whatever", "1,2,3"},
	} {
		path := put(t, c.table, "# first line\n"+c.row+"\n")
		_, err := Load([]string{path})
		var line *LineError
		if !errors.As(err, &line) || line.Line != 2 || line.File != path || errors.Unwrap(line) == nil {
			t.Errorf("%s: error %v", c.row, err)
			continue
		}
		text := strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "")
		if strings.Contains(strings.ToLower(text), "c0ffee") {
			t.Errorf("%s: the error shows the key: %s", c.row, text)
		}
		fmt.Fprintln(&out, text)
	}
	golden(t, "errors.golden", out.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestGoodRowsAreReadBesideBadOnesAndErrorsAreBounded(t *testing.T) {
	tables, err := Load([]string{put(t, TableIKEv1, "bad\n0102030405060708,"+digits(16)+"\nbad\n")})
	if tables.IKEv1(0x0102030405060708) == nil || err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
	_, err = Load([]string{put(t, TableIKEv1, strings.Repeat("bad\n", 1000))})
	if err == nil || strings.Count(err.Error(), "\n") != maxErrors || !errors.Is(err, errTooMany) {
		t.Errorf("%v", err)
	}
	_, err = Load([]string{put(t, TableIKEv1, strings.Repeat("#", maxLine+1))})
	if err == nil || !strings.Contains(err.Error(), ":1: line is longer than 65536 octets") {
		t.Errorf("%v", err)
	}
}

func TestAFileLargerThanTheLimitIsRefused(t *testing.T) {
	tables := &Tables{}
	comment := append(bytes.Repeat([]byte{'#'}, maxLine-1), '\n')
	r := &repeat{line: comment, left: maxFile/len(comment) + 1}
	errs := tables.read(r, TableIKEv1)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "file is larger than") {
		t.Errorf("%v", errs)
	}
}

// repeat reads as one line over and over.
type repeat struct {
	line []byte
	left int
	rest []byte
}

func (r *repeat) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.left == 0 {
			return 0, errors.New("read beyond the limit")
		}
		r.left--
		r.rest = r.line
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func TestPrintingTablesShowsNoKey(t *testing.T) {
	tables := load(t, TableESP, `"IPv4","*","*","*","AES-CBC","0xc0ffeec0ffeec0ffeec0ffeec0ffeec0","NULL",""`)
	sa := tables.espRows[0]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		for _, v := range []any{tables, *tables, sa, *sa} {
			if s := strings.ToLower(fmt.Sprintf(verb, v)); strings.Contains(s, "c0ffee") || strings.Contains(s, "192 255 238") || strings.Contains(s, "0xc0, 0xff") {
				t.Errorf("%s of %T: %s", verb, v, s)
			}
		}
	}
	if !strings.Contains(fmt.Sprintf("%+v", *sa), "Key:[16 octets]") {
		t.Errorf("%+v", *sa)
	}
}
