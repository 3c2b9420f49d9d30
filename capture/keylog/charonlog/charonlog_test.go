package charonlog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func parseFile(t *testing.T, name string) Keys {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	keys, err := Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func parseText(t *testing.T, text string) Keys {
	t.Helper()
	keys, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// dump is a hex dump as charon's log has it, on thread 05.
func dump(label string, key []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "1700000000 05[IKE] <gw|1> %s => %d bytes @ 0x7f0000000000\n", label, len(key))
	for at := 0; at < len(key); at += 16 {
		row := key[at:min(at+16, len(key))]
		hexed := strings.ToUpper(strings.TrimRight(fmt.Sprintf("% x", row), " "))
		fmt.Fprintf(&b, "1700000000 05[IKE] <gw|1> %4d: %-48s %s\n", at, hexed, strings.Repeat("A", len(row)))
	}
	return b.String()
}

func octets(n int, first byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

const (
	ikeLine     = "1700000000 05[CFG] <gw|1> selected proposal: IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/ECP_256\n"
	checkinLine = "1700000000 05[MGR] <gw|1> checkin IKEv2 SA gw[1] with SPIs 00000000000000aa_i 00000000000000bb_r\n"
)

// An SA whose authentication fails is destroyed and never put back: the thread
// that derived its keys turns to the next SA.
func TestKeysOfAnSAThatFailedAreItsOwnAndNotThoseOfTheNext(t *testing.T) {
	checkout := func(spi string) string {
		return "1700000000 05[MGR] checkout IKEv2 SA by message with SPIs 00000000000000" + spi + "_i 00000000000000bb_r\n"
	}
	derived := func(first byte) string {
		return dump("SKEYSEED", octets(32, 1)) + dump("Sk_ei secret", octets(36, first)) + dump("Sk_er secret", octets(36, first+1))
	}
	failed := checkout("aa") + ikeLine + derived(1) + "1700000000 05[MGR] <gw|1> checkin and destroy IKE_SA gw[1]\n1700000000 05[MGR] checkin and destroy of IKE_SA successful\n"
	next := "1700000000 05[MGR] checkout IKEv2 SA by message with SPIs 00000000000000cc_i 0000000000000000_r\n" + strings.NewReplacer("gw|1", "2", "gw[1]", "(unnamed)[2]", "aa_i", "cc_i").Replace(ikeLine+checkinLine)
	keys := parseText(t, failed+next)
	if len(keys.IKE) != 1 || keys.IKE[0].SPIi != 0xaa || !bytes.Equal(keys.IKE[0].EncrI, octets(36, 1)) {
		t.Errorf("keys of %d SAs: %+v", len(keys.IKE), keys.IKE)
	}
	// A rekeying's new SA that lost against the peer's has SPIs that no line tells.
	if keys := parseText(t, checkout("aa")+ikeLine+derived(1)+"1700000000 05[MGR] <gw|1> checkin and destroy IKE_SA gw[2]\n"+checkinLine); len(keys.IKE) != 0 {
		t.Errorf("the keys of an SA that was given up went to SPI %x", keys.IKE[0].SPIi)
	}
}

func TestBothEndsOfATunnelTellTheSameKeys(t *testing.T) {
	i, r := parseFile(t, "initiator.log"), parseFile(t, "responder.log")
	if len(i.IKE) != 1 || len(i.ESP) != 2 {
		t.Fatalf("initiator's log gives %d IKE and %d ESP SAs, want 1 and 2", len(i.IKE), len(i.ESP))
	}
	if !reflect.DeepEqual(i.IKE, r.IKE) {
		t.Error("the ends tell different IKE keys")
	}
	for _, a := range i.ESP {
		found := false
		for _, b := range r.ESP {
			found = found || reflect.DeepEqual(a, b)
		}
		if !found {
			t.Errorf("the responder's log does not tell the same about SPI %08x", a.SPI)
		}
	}
	both := i
	both.Merge(r)
	if len(both.IKE) != 1 || len(both.ESP) != 2 {
		t.Errorf("merged: %d IKE and %d ESP SAs, want 1 and 2", len(both.IKE), len(both.ESP))
	}
}

func TestDumpOverSeveralLinesIsJoinedWithoutItsTextColumn(t *testing.T) {
	ei, er := octets(36, 1), octets(36, 101)
	keys := parseText(t, ikeLine+dump("SKEYSEED", octets(32, 7))+dump("Sk_ei secret", ei)+dump("Sk_er secret", er)+checkinLine)
	if len(keys.IKE) != 1 {
		t.Fatalf("%d IKE SAs, want 1", len(keys.IKE))
	}
	sa := keys.IKE[0]
	if !bytes.Equal(sa.EncrI, ei) || !bytes.Equal(sa.EncrR, er) {
		t.Error("keys are not the octets of the dumps")
	}
	if sa.SPIi != 0xaa || sa.SPIr != 0xbb || sa.Suite.Encr != "AES_GCM_16_256" {
		t.Errorf("SA is %016x %016x with %s", sa.SPIi, sa.SPIr, sa.Suite.Encr)
	}
}

func TestDumpThatIsCutShortGivesNoKey(t *testing.T) {
	whole := dump("Sk_ei secret", octets(36, 1))
	cut := whole[:strings.LastIndex(strings.TrimSpace(whole), "\n")+1]
	keys := parseText(t, ikeLine+dump("SKEYSEED", octets(32, 7))+cut+dump("Sk_er secret", octets(36, 9))+checkinLine)
	if len(keys.IKE) != 0 {
		t.Errorf("%d IKE SAs of an incomplete log, want none", len(keys.IKE))
	}
}

func TestThreadsThatSpeakInTurnAreKeptApart(t *testing.T) {
	one := ikeLine + dump("SKEYSEED", octets(32, 7)) + dump("Sk_ei secret", octets(36, 1)) + dump("Sk_er secret", octets(36, 101)) + checkinLine
	two := strings.NewReplacer("05[", "06[", "aa_i", "cc_i", "bb_r", "dd_r").Replace(one)
	a, b := strings.SplitAfter(one, "\n"), strings.SplitAfter(two, "\n")
	var mixed strings.Builder
	for i := range a {
		mixed.WriteString(a[i] + b[i])
	}
	keys := parseText(t, mixed.String())
	if len(keys.IKE) != 2 || keys.IKE[0].SPIi != 0xaa || keys.IKE[1].SPIi != 0xcc {
		t.Fatalf("IKE SAs: %v, want those of aa and cc", keys.IKE)
	}
	if !bytes.Equal(keys.IKE[0].EncrI, octets(36, 1)) || !bytes.Equal(keys.IKE[1].EncrI, octets(36, 1)) {
		t.Error("a thread's dump was read into the other's")
	}
}

func TestInitiatorsKeyBelongsToWhatTheInitiatorOfTheExchangeSends(t *testing.T) {
	const installed = `1700000000 05[CHD] <gw|1> adding inbound ESP SA
1700000000 05[CHD] <gw|1>   SPI 0x00000011, src 192.0.2.2 dst 192.0.2.1
1700000000 05[CHD] <gw|1> adding outbound ESP SA
1700000000 05[CHD] <gw|1>   SPI 0x00000022, src 192.0.2.1 dst 192.0.2.2
`
	keyLines := dump("encryption initiator key", octets(36, 1)) + dump("encryption responder key", octets(36, 101))
	for _, c := range []struct {
		name, message string
		inbound       byte // first octet of the key of the inbound SA
	}{
		{"this end began the exchange", "parsed CREATE_CHILD_SA response 2 [ SA No ]", 101},
		{"the other end began it", "parsed CREATE_CHILD_SA request 2 [ SA No ]", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := parseText(t, "1700000000 05[ENC] <gw|1> "+c.message+
				"\n1700000000 05[CFG] <gw|1> selected proposal: ESP:AES_GCM_16_256/EXT_SEQ\n"+keyLines+installed)
			if len(keys.ESP) != 2 {
				t.Fatalf("%d ESP SAs, want 2", len(keys.ESP))
			}
			if got := keys.ESP[0].Encr[0]; keys.ESP[0].SPI != 0x11 || got != c.inbound {
				t.Errorf("inbound SA %08x has the key that begins with %d, want %d", keys.ESP[0].SPI, got, c.inbound)
			}
			if !keys.ESP[0].Suite.ESN {
				t.Error("extended sequence numbers were not noticed")
			}
		})
	}
}

func TestIKEv1GivesThePhaseOneKey(t *testing.T) {
	key := octets(32, 3)
	keys := parseText(t, dump("SKEYID", octets(32, 1))+dump("encryption key Ka", key)+
		strings.Replace(checkinLine, "IKEv2", "IKEv1", 1))
	if len(keys.IKEv1) != 1 || keys.IKEv1[0].CookieI != 0xaa || !bytes.Equal(keys.IKEv1[0].Encr, key) {
		t.Errorf("IKEv1 SAs: %v", keys.IKEv1)
	}
}

func TestKeysDoNotPrintThemselves(t *testing.T) {
	keys := parseFile(t, "initiator.log")
	secret := hex.EncodeToString(keys.IKE[0].EncrI)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, keys); strings.Contains(strings.ToLower(text), secret[:8]) || !strings.Contains(text, "[32 octets]") {
			t.Errorf("%s prints %q", verb, text)
		}
	}
}

func TestTablesHaveWiresharksForm(t *testing.T) {
	text := "1700000000 05[ENC] <gw|1> parsed IKE_AUTH response 1 [ IDr AUTH SA TSi TSr ]\n" +
		"1700000000 05[CFG] <gw|1> selected proposal: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048\n" +
		dump("SKEYSEED", octets(4, 0)) + dump("Sk_ai secret", octets(4, 0xa0)) + dump("Sk_ar secret", octets(4, 0xb0)) +
		dump("Sk_ei secret", octets(4, 0xc0)) + dump("Sk_er secret", octets(4, 0xd0)) + checkinLine +
		"1700000000 05[CFG] <gw|1> selected proposal: ESP:CHACHA20_POLY1305/NO_EXT_SEQ\n" +
		dump("encryption initiator key", octets(4, 0xe0)) + dump("encryption responder key", octets(4, 0xf0)) +
		"1700000000 05[CHD] <gw|1> adding inbound ESP SA\n1700000000 05[CHD] <gw|1>   SPI 0x00000011, src 2001:db8::2 dst 2001:db8::1\n"
	const (
		wantIKE = `00000000000000aa,00000000000000bb,c0c1c2c3,d0d1d2d3,"AES-CBC-256 [RFC3602]",a0a1a2a3,b0b1b2b3,"HMAC_SHA2_256_128 [RFC4868]"` + "\n"
		wantESP = `"IPv6","2001:db8::2","2001:db8::1","0x00000011","ChaCha20 with Poly1305 [RFC7634]","0xf0f1f2f3","NULL",""` + "\n"
		wantAny = `"IPv6","*","*","0x00000011","ChaCha20 with Poly1305 [RFC7634]","0xf0f1f2f3","NULL",""` + "\n"
	)
	keys := parseText(t, text)
	for _, c := range []struct {
		name string
		opt  Tables
		esp  string
	}{
		{"as the daemon saw it", Tables{}, wantESP},
		{"for any address", Tables{AnyAddress: true}, wantAny},
		{"what Wireshark 4.0 knows", Tables{WiresharkOnly: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, TableIKEv1), []byte("stale"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.opt.Write(dir, keys); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{TableIKEv2: wantIKE, TableESP: c.esp, TableIKEv1: ""} {
				got, err := os.ReadFile(filepath.Join(dir, name))
				if want == "" {
					if !errors.Is(err, os.ErrNotExist) {
						t.Errorf("table %s without rows is there", name)
					}
					continue
				}
				if err != nil || string(got) != want {
					t.Errorf("table %s:\n%s%v\nwant\n%s", name, got, err, want)
				}
			}
		})
	}
}

func TestAnAlgorithmWithoutANameIsAnErrorAndTheOtherSAsAreWritten(t *testing.T) {
	dir := t.TempDir()
	named := IKE{SPIi: 0xbb, Suite: Suite{Encr: "AES_GCM_16_256"}, EncrI: octets(36, 1), EncrR: octets(36, 2)}
	err := Tables{}.Write(dir, Keys{IKE: []IKE{{SPIi: 0xaa, Suite: Suite{Encr: "CAMELLIA_CBC_256"}}, named}})
	if !errors.Is(err, ErrUnnamed) {
		t.Errorf("error is %v, want ErrUnnamed", err)
	}
	rows, err := os.ReadFile(filepath.Join(dir, TableIKEv2))
	if err != nil || !strings.HasPrefix(string(rows), "00000000000000bb,") || strings.Count(string(rows), "\n") != 1 {
		t.Errorf("rows %q, %v", rows, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"initiator.log", "responder.log"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(ikeLine + dump("SKEYID", octets(3, 1)) + checkinLine))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, _ := Parse(bytes.NewReader(text)) // an error is as good as keys here
		for _, sa := range keys.IKE {
			if len(sa.EncrI) > maxDump || len(sa.EncrR) > maxDump {
				t.Errorf("key of %d octets", max(len(sa.EncrI), len(sa.EncrR)))
			}
		}
	})
}
