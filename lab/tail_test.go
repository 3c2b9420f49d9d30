package lab

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEndOfALogIsShownWithoutKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "charon.log")
	line := "1795863761 15[IKE] <gw|1> IKE_SA gw[1] state change: CREATED => CONNECTING\n"
	secret := `1795863761 15[IKE] <gw|1> SKEYSEED => 32 bytes @ 0x7f2d18009420
1795863761 15[IKE] <gw|1>    0: 79 56 2D 3E 03 EB 8B EA 00 00 00 00 00 00 00 00  yV->............
1795863761 15[IKE] <gw|1>   16: 8B 5D 27 1B 00 00                                .]'...
1795863761 15[IKE] <gw|1>   32: 8B
`
	if err := os.WriteFile(path, []byte("first\n"+strings.Repeat(line+secret, 2000)+"last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := tail(path)
	if strings.Contains(got, "8B") || strings.Contains(got, "bytes @") {
		t.Error("octets are shown")
	}
	if len(got) > tailOctets || !strings.HasSuffix(got, line+"last\n") || strings.Contains(got, "first") || !strings.HasPrefix(got, "1795863761") {
		t.Errorf("%d octets: %.200s", len(got), got)
	}
	if got := tail(path + "x"); !strings.Contains(got, "no such file") {
		t.Errorf("of a log that is not there: %q", got)
	}
}

func TestARecorderLosesNothingAndLeavesNoFrameOfItsOwn(t *testing.T) {
	Need(t)
	ctx := t.Context()
	var ends [2]*NS
	for i := range ends {
		var err error
		if ends[i], err = NewNS(ctx, "mark"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := ends[i].Delete(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := Join(ctx, ends[0], "eth0", ends[1], "eth0"); err != nil {
		t.Fatal(err)
	}
	for i, ns := range ends {
		if err := Address(ctx, ns, "eth0", []string{"192.0.2.1/24", "192.0.2.2/24"}[i]); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		path := filepath.Join(t.TempDir(), "marked.pcap")
		r, err := Record(ctx, ends[0], "eth0", path)
		if err != nil {
			t.Fatal(err)
		}
		const count = 30
		sizes := make([]int, count)
		_, err = Echo(ctx, ends[0], "192.0.2.1", "192.0.2.2", sizes)
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		// ICMP alone passes the filter: the addresses are asked for by ARP.
		d, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for d = d[24:]; len(d) > pcapRecord; n++ {
			length := binary.NativeEndian.Uint32(d[8:])
			frame := d[pcapRecord : pcapRecord+length]
			if frame[12] != 8 || frame[13] != 0 || frame[23] != 1 {
				t.Errorf("a frame that is no ICMP: %x", frame)
			}
			d = d[pcapRecord+length:]
		}
		if n < 2*count {
			t.Errorf("%d frames of %d requests and as many answers", n, count)
		}
	}
}
