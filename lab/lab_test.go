package lab

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// corpus is the folder of committed captures.
const corpus = "../testdata/captures"

// maxCapture keeps the corpus small enough to live in the repository.
const maxCapture = 60 << 10

func readCorpus(t *testing.T) Manifest {
	t.Helper()
	m, err := ReadManifest(corpus)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Captures) == 0 {
		t.Fatal("the manifest of the corpus is empty")
	}
	return m
}

func TestManifestNamesEveryFileOfTheCorpusAndNoOther(t *testing.T) {
	want := []string{ManifestFile}
	for _, e := range readCorpus(t).Captures {
		want = append(want, e.File)
		if e.Keys != "" {
			want = append(want, e.Keys)
		}
	}
	entries, err := os.ReadDir(corpus)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !e.IsDir() && filepath.Ext(e.Name()) == ".pcap" && info.Size() > maxCapture {
			t.Errorf("%s has %d octets, more than %d", e.Name(), info.Size(), maxCapture)
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Errorf("manifest and folder differ:\nmanifest %v\nfolder   %v", want, have)
	}
}

func TestCorpusHasEveryScenarioAsTheTableDescribesIt(t *testing.T) {
	entries := map[string]Entry{}
	for _, e := range readCorpus(t).Captures {
		entries[e.Name] = e
	}
	for _, s := range Scenarios() {
		e, ok := entries[s.Name]
		if !ok {
			t.Errorf("scenario %s is not in the corpus", s.Name)
			continue
		}
		delete(entries, s.Name)
		if e.Shows != s.Shows || !slices.Equal(e.Expect, s.Expect) {
			t.Errorf("scenario %s was recorded under another description: record it anew", s.Name)
		}
		if e.ForcedEncapsulation == s.Guests {
			t.Errorf("scenario %s: forced encapsulation is %t, guests is %t", s.Name, e.ForcedEncapsulation, s.Guests)
		}
	}
	for name := range entries {
		t.Errorf("capture %s belongs to no scenario", name)
	}
}

func TestTsharkOpensEveryCaptureWithItsKeys(t *testing.T) {
	need.Program(t, "tshark")
	// What Wireshark 4.0 has no cipher name for, and cannot open.
	beyond := []string{"psk-curve25519-chacha20poly1305", "psk-aes256ccm16"}
	for _, e := range readCorpus(t).Captures {
		t.Run(e.Name, func(t *testing.T) {
			keys := ""
			if e.Keys != "" {
				keys = filepath.Join(corpus, e.Keys)
			}
			d, kept, err := Decrypt(t.Context(), filepath.Join(corpus, e.File), keys)
			if err != nil {
				t.Fatal(err)
			}
			if (kept > 0) != slices.Contains(beyond, e.Name) {
				t.Errorf("%d rows of the key tables are beyond tshark", kept)
			}
			if kept == 0 && !d.Complete() {
				t.Errorf("IKE %d of %d, ESP %d of %d opened, %d malformed", d.IKEOpen, d.IKE, d.ESPOpen, d.ESP, d.Malformed)
			}
		})
	}
}

// nothingLeft fails the test if this process has namespaces or children.
func nothingLeft(t *testing.T) {
	t.Helper()
	out, err := command(context.Background(), "ip", "netns", "list")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "cvl"+strconv.Itoa(os.Getpid())+"-") {
		t.Errorf("namespaces are left: %s", out)
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		name, rest, ok := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if ok && len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			t.Errorf("child is left: %s", name)
		}
	}
}

func TestTunnelComesUpIsRecordedWithKeysAndLeavesNothingBehind(t *testing.T) {
	Need(t)
	s, ok := Find("psk-modp2048-aes256-sha256")
	if !ok {
		t.Fatal("scenario is not in the table")
	}
	rec, err := Run(t.Context(), s, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t)
	d, _, err := Decrypt(t.Context(), rec.Capture, rec.KeysDir)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Complete() || d.IKE != 2 || d.ESP != 8 {
		t.Errorf("tshark opened IKE %d of %d, ESP %d of %d; want 2 and 8", d.IKEOpen, d.IKE, d.ESPOpen, d.ESP)
	}
	if rec.Entry.IKESuite != "AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048" {
		t.Errorf("suite is %s", rec.Entry.IKESuite)
	}
}

func TestCancelledRunTearsEverythingDown(t *testing.T) {
	Need(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := Scenario{Name: "cancelled", Act: func(ctx context.Context, _ *Bench) error {
		cancel()
		return pause(ctx, time.Minute)
	}}
	if _, err := Run(ctx, s, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
	nothingLeft(t)
}

func TestSweepLeavesAloneWhatIsNotAbandoned(t *testing.T) {
	for _, c := range []struct {
		name, ns string
		want     bool
	}{
		{"of this process", "cvl" + strconv.Itoa(os.Getpid()) + "-1-a", false},
		{"of a process that cannot exist", "cvl4194305-1-a", true},
		{"of somebody else", "vpn-1-a", false},
		{"without a process", "cvlx-1-a", false},
		{"no name", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := abandoned(c.ns); got != c.want {
				t.Errorf("abandoned(%q) is %t, want %t", c.ns, got, c.want)
			}
		})
	}
}

func TestGuestsKernelDoesNativeESP(t *testing.T) {
	NeedGuests(t)
	s, ok := Find("native-esp-aes256gcm16")
	if !ok {
		t.Fatal("scenario is not in the table")
	}
	rec, err := Run(t.Context(), s, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t)
	d, _, err := Decrypt(t.Context(), rec.Capture, rec.KeysDir)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Complete() || d.ESP != 8 {
		t.Errorf("tshark opened IKE %d of %d, ESP %d of %d; want 8 of 8 ESP packets", d.IKEOpen, d.IKE, d.ESPOpen, d.ESP)
	}
}

func TestCertificatesChainToTheRootThatTheOtherEndTrusts(t *testing.T) {
	a, b := End{Local: Auth{ID: "a.lab"}}, End{Local: Auth{ID: "b.lab"}}
	if err := UseCertificates(&a, &b, ECDSA(elliptic.P256()), 3); err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(b.certPEM["x509ca/root.pem"])
	between.AppendCertsFromPEM(a.certPEM["x509/intermediate-1.pem"])
	between.AppendCertsFromPEM(a.certPEM["x509/intermediate-2.pem"])
	leaf := parseCert(t, a.certPEM["x509/me.pem"])
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "a.lab"})
	if err != nil {
		t.Fatal(err)
	}
	if len(chains[0]) != 4 {
		t.Errorf("chain has %d certificates, want 4", len(chains[0]))
	}
}

func TestInvalidKEScriptAsksForTheGroupThatWasNotUsed(t *testing.T) {
	for _, c := range []struct {
		name       string
		used, want uint16
	}{{"after ECP 256", groupECP256, groupCurve25519}, {"after Curve25519", groupCurve25519, groupECP256}} {
		t.Run(c.name, func(t *testing.T) {
			request := make([]byte, ikeHeader)
			request[16] = payloadKE
			request = append(request, 0, 0, 0, 10, byte(c.used>>8), byte(c.used), 0, 0, 1, 2)
			answer := answerInvalidKE(request)
			if got := int(binary.BigEndian.Uint32(answer[24:])); got != len(answer) {
				t.Errorf("length says %d of %d octets", got, len(answer))
			}
			if got := binary.BigEndian.Uint16(answer[len(answer)-2:]); got != c.want {
				t.Errorf("asks for group %d, want %d", got, c.want)
			}
			for n := ikeHeader; n < len(request); n++ {
				answerInvalidKE(request[:n]) // whatever was cut off, no panic
			}
		})
	}
}

func parseCert(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
