package page

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestNumbersFitTheirColumns(t *testing.T) {
	for d := time.Microsecond; d < 300*24*time.Hour; d = d*3 + 7 {
		if s := short(d); len(s) > 5 {
			t.Errorf("short(%d) = %q", d, s)
		}
		if s := rtt(d); len(s) > rttWidth {
			t.Errorf("rtt(%d) = %q", d, s)
		}
		if s := sinceStart(d); len(s) > 10 {
			t.Errorf("sinceStart(%d) = %q", d, s)
		}
	}
	for n := uint64(1); n < 1<<63; n = n*3 + 1 {
		if s := amount(n); len(s) > 5 {
			t.Errorf("amount(%d) = %q", n, s)
		}
	}
}

func TestNumbersAreReadAsTheyAre(t *testing.T) {
	durations := []struct {
		d           time.Duration
		short, trip string
	}{
		{640 * time.Microsecond, "640us", "0.64 ms"}, {12 * time.Millisecond, "12ms", "12.0 ms"}, {4200 * time.Millisecond, "4.2s", "4.20 s"},
		{9999 * time.Millisecond, "9.9s", "10.00 s"}, {59999 * time.Millisecond, "59s", "60.00 s"},
		{3*time.Minute + 12*time.Second, "3m12", "3m12"}, {62 * time.Minute, "1h02", "1h02"}, {76 * time.Hour, "3d04", "3d04"}, {-1, "-", "-0.00 ms"},
	}
	for _, r := range durations {
		if s := short(r.d); s != r.short {
			t.Errorf("short(%v) = %q, want %q", r.d, s, r.short)
		}
		if s := rtt(r.d); s != r.trip {
			t.Errorf("rtt(%v) = %q, want %q", r.d, s, r.trip)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1.0k", 9949: "9.9k", 9950: "10k", 999_499: "999k", 999_500: "1.0M", 1_234_567: "1.2M"} {
		if s := amount(n); s != want {
			t.Errorf("amount(%d) = %q, want %q", n, s, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 12: "12"} {
		if s := Thousands(n); s != want {
			t.Errorf("Thousands(%d) = %q, want %q", n, s, want)
		}
	}
}

func TestEveryErrorNotifyHasAMeaning(t *testing.T) {
	for typ := wire.NotifyType(1); typ <= wire.NotifyStateNotFound; typ++ {
		if name := typ.String(); !strings.HasPrefix(name, "UNKNOWN_") && meanings[typ] == "" {
			t.Errorf("%s has none", name)
		}
	}
	wants := &wire.Notify{Type: wire.NotifyInvalidKEPayload, Data: []byte{0, 19}}
	if s := notifyMeaning(wants); s != "the peer wants group ECP_256" {
		t.Errorf("INVALID_KE_PAYLOAD means %q", s)
	}
}
