package charonlog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/capture/keylog"
)

// The names of Wireshark's key tables: files of a profile folder, one SA a
// line, fields separated by commas, text in double quotes.
const (
	TableIKEv2 = "ikev2_decryption_table" // SPIi,SPIr,SK_ei,SK_er,"encr",SK_ai,SK_ar,"integ"
	TableIKEv1 = "ikev1_decryption_table" // cookie of the initiator,key
	TableESP   = "esp_sa"                 // "IPv4|IPv6","src","dst","SPI","encr","key","integ","key"
)

// Tables chooses how SAs are written.
type Tables struct {
	// AnyAddress writes * for the addresses of ESP SAs. Choose it where the
	// capture shows other addresses than the daemon saw: behind a NAT, or
	// when an end moves.
	AnyAddress bool
	// WiresharkOnly leaves out the SAs whose algorithms Wireshark 4.0 has no
	// name for. It refuses a table with a name that it does not know.
	WiresharkOnly bool
	// Shared lets everybody read the tables: those of a lab go along with its
	// captures.
	Shared bool
}

// chacha is spelled as Wireshark spells its neighbours. Release 4.0 knows no
// such name in either table.
const chacha = "ChaCha20 with Poly1305 [RFC7634]"

var sizedRE = regexp.MustCompile(`^AES_(CBC|CTR|GCM_8|GCM_12|GCM_16|CCM_8|CCM_12|CCM_16)_(128|192|256)$`)

// ikeEncr gives the table's name for an IKEv2 cipher, and whether Wireshark
// 4.0 knows it.
func ikeEncr(name string) (string, bool) {
	switch name {
	case "3DES_CBC":
		return "3DES [RFC2451]", true
	case "NULL":
		return "NULL [RFC2410]", true
	case "CHACHA20_POLY1305":
		return chacha, false
	}
	m := sizedRE.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	mode, icv, aead := strings.Cut(m[1], "_")
	switch {
	case aead:
		return fmt.Sprintf("AES-%s-%s with %s octet ICV [RFC5282]", mode, m[2], icv), true
	case mode == "CTR":
		return fmt.Sprintf("AES-CTR-%s [RFC5930]", m[2]), true
	}
	return fmt.Sprintf("AES-CBC-%s [RFC3602]", m[2]), true
}

var ikeIntegNames = map[string]string{
	"":                  "NONE [RFC4306]",
	"HMAC_MD5_96":       "HMAC_MD5_96 [RFC2403]",
	"HMAC_SHA1_96":      "HMAC_SHA1_96 [RFC2404]",
	"HMAC_SHA2_256_128": "HMAC_SHA2_256_128 [RFC4868]",
	"HMAC_SHA2_384_192": "HMAC_SHA2_384_192 [RFC4868]",
	"HMAC_SHA2_512_256": "HMAC_SHA2_512_256 [RFC4868]",
}

// espEncr gives the table's name for an ESP cipher, and whether Wireshark 4.0
// knows it.
func espEncr(name string) (string, bool) {
	switch name {
	case "3DES_CBC":
		return "TripleDES-CBC [RFC2451]", true
	case "NULL":
		return "NULL", true
	case "CHACHA20_POLY1305":
		return chacha, false
	}
	m := sizedRE.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	switch mode, icv, _ := strings.Cut(m[1], "_"); mode {
	case "GCM":
		return fmt.Sprintf("AES-GCM with %s octet ICV [RFC4106]", icv), true
	case "CCM":
		return fmt.Sprintf("AES-CCM with %s octet ICV [RFC4309]", icv), false
	case "CTR":
		return "AES-CTR [RFC3686]", true
	}
	return "AES-CBC [RFC3602]", true
}

var espIntegNames = map[string]string{
	"":                  "NULL",
	"HMAC_MD5_96":       "HMAC-MD5-96 [RFC2403]",
	"HMAC_SHA1_96":      "HMAC-SHA-1-96 [RFC2404]",
	"HMAC_SHA2_256_128": "HMAC-SHA-256-128 [RFC4868]",
	"HMAC_SHA2_384_192": "HMAC-SHA-384-192 [RFC4868]",
	"HMAC_SHA2_512_256": "HMAC-SHA-512-256 [RFC4868]",
}

// ErrUnnamed is returned, wrapped, for an algorithm that no table can name: the
// SAs with others are written.
var ErrUnnamed = errors.New("no table names this algorithm")

// Write writes the tables that have rows into folder dir, which must exist,
// and removes those that have none. The files spell secrets out; their mode is
// 0600, or 0644 where they are Shared.
func (opt Tables) Write(dir string, k Keys) error {
	v2, unnamed := opt.ikev2(k)
	esp, more := opt.esp(k)
	unnamed = errors.Join(unnamed, more)
	var v1 []string
	for _, sa := range k.IKEv1 {
		v1 = append(v1, fmt.Sprintf("%016x,%s\n", sa.CookieI, hex.EncodeToString(sa.Encr)))
	}
	for name, rows := range map[string][]string{TableIKEv2: v2, TableIKEv1: v1, TableESP: esp} {
		path := filepath.Join(dir, name)
		if len(rows) == 0 {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("removing stale key table: %w", err)
			}
			continue
		}
		err := keylog.Replace(path, []byte(strings.Join(rows, "")))
		if err == nil && opt.Shared {
			err = os.Chmod(path, 0o644)
		}
		if err != nil {
			return fmt.Errorf("writing key table: %w", err)
		}
	}
	return unnamed
}

func (opt Tables) ikev2(k Keys) (rows []string, unnamed error) {
	for _, sa := range k.IKE {
		encr, known := ikeEncr(sa.Suite.Encr)
		integ, named := ikeIntegNames[sa.Suite.Integ]
		if encr == "" || !named {
			unnamed = errors.Join(unnamed, fmt.Errorf("IKE SA %016x with %s/%s: %w", sa.SPIi, sa.Suite.Encr, sa.Suite.Integ, ErrUnnamed))
			continue
		}
		if opt.WiresharkOnly && !known {
			continue
		}
		rows = append(rows, fmt.Sprintf("%016x,%016x,%s,%s,\"%s\",%s,%s,\"%s\"\n", sa.SPIi, sa.SPIr,
			hex.EncodeToString(sa.EncrI), hex.EncodeToString(sa.EncrR), encr,
			hex.EncodeToString(sa.IntegI), hex.EncodeToString(sa.IntegR), integ))
	}
	return rows, unnamed
}

func (opt Tables) esp(k Keys) (rows []string, unnamed error) {
	for _, sa := range k.ESP {
		encr, known := espEncr(sa.Suite.Encr)
		integ, named := espIntegNames[sa.Suite.Integ]
		if encr == "" || !named {
			unnamed = errors.Join(unnamed, fmt.Errorf("ESP SA %08x with %s/%s: %w", sa.SPI, sa.Suite.Encr, sa.Suite.Integ, ErrUnnamed))
			continue
		}
		if opt.WiresharkOnly && !known {
			continue
		}
		family, src, dst := "IPv4", sa.Src.String(), sa.Dst.String()
		if sa.Dst.Is6() {
			family = "IPv6"
		}
		if opt.AnyAddress {
			src, dst = "*", "*"
		}
		rows = append(rows, fmt.Sprintf("\"%s\",\"%s\",\"%s\",\"0x%08x\",\"%s\",\"%s\",\"%s\",\"%s\"\n",
			family, src, dst, sa.SPI, encr, hexField(sa.Encr), integ, hexField(sa.Integ)))
	}
	return rows, unnamed
}

func hexField(k Key) string {
	if len(k) == 0 {
		return ""
	}
	return "0x" + hex.EncodeToString(k)
}

// Names lists every algorithm name that Write can put into a table, sorted:
// what a reader of the tables has to understand.
func Names() []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, c := range []string{"3DES_CBC", "NULL", "CHACHA20_POLY1305"} {
		i, _ := ikeEncr(c)
		e, _ := espEncr(c)
		add(i)
		add(e)
	}
	for _, mode := range []string{"CBC", "CTR", "GCM_8", "GCM_12", "GCM_16", "CCM_8", "CCM_12", "CCM_16"} {
		for _, size := range []string{"128", "192", "256"} {
			i, _ := ikeEncr("AES_" + mode + "_" + size)
			e, _ := espEncr("AES_" + mode + "_" + size)
			add(i)
			add(e)
		}
	}
	for _, n := range ikeIntegNames {
		add(n)
	}
	for _, n := range espIntegNames {
		add(n)
	}
	slices.Sort(names)
	return names
}
