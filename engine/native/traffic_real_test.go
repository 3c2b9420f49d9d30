package native_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// recorder records rows with the strongSwan of this machine.
func recorder(t *testing.T) *interop.Recorder {
	t.Helper()
	lab.Need(t)
	version, err := lab.StrongSwanVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return interop.Open(t, "strongSwan", version)
}

// eachRole runs a test of a feature with us as initiator and as responder, and
// records what came of it. An ordinary run leaves the second out where the
// feature is not one of the common ones.
func eachRole(t *testing.T, rec *interop.Recorder, feature string, common bool, f func(t *testing.T, role interop.Role, e *interop.Entry)) {
	for _, role := range interop.Roles() {
		if role == interop.Responder && !common && !interop.Full() {
			continue
		}
		t.Run(feature+" as "+string(role), func(t *testing.T) { f(t, role, rec.Entry(t, role, feature)) })
	}
}

// paths are those that traffic takes. A NAT hides the end that initiates.
var paths = []struct {
	name   string
	layout layout
}{
	{"IPv4 in IPv4", layout{}},
	{"IPv6 in IPv6", layout{scenario: lab.Scenario{IPv6: true}}},
	{"IPv6 in IPv4", layout{inner: "6"}},
	{"IPv4 in IPv6", layout{scenario: lab.Scenario{IPv6: true}, inner: "4"}},
	{"a NAT in between", layout{scenario: lab.Scenario{NAT: lab.NATInitiator}}},
	{"a NAT on either side", layout{scenario: lab.Scenario{NAT: lab.NATBoth}}},
	{"IPv6 through a NAT", layout{scenario: lab.Scenario{NAT: lab.NATInitiator}, inner: "6"}},
}

func TestInteropPingsOfEverySizeArePassedWithStrongSwan(t *testing.T) {
	rec := recorder(t)
	for i, path := range paths {
		eachRole(t, rec, "traffic: pings of 1 to 9000 octets ("+path.name+")", i == 0, func(t *testing.T, role interop.Role, e *interop.Entry) {
			l := path.layout
			if l.scenario.NAT != lab.NoNAT {
				l.weAre = role
			}
			// In an ordinary run those about the limits, and some between.
			list := []int{1, 2, 3, 15, 16, 17, 64, 1371, 1372, 1373, 1399, 1400, 1401, 1500, 2744, 2745, 8999, 9000}
			switch {
			case interop.Full():
				list = sizes(1, 9000, 1)
			case i == 0:
				list = append(list, sizes(18, 9000, 97)...)
			}
			e.Detail("every size, from either end; the data of each answer compared")
			r := newRig(t, l)
			r.raise(role)
			repeated := r.echo(list...)
			t.Logf("%d sizes from either end, %d requests sent again", len(list), repeated)
			r.carried(uint64(2 * len(list)))
		})
	}
}

// TestPacketsTooBigForThePathAreAnsweredInside has a path that takes 1300 octets:
// nothing may be fragmented outside, and everything must come through.
func TestPacketsTooBigForThePathAreAnsweredInside(t *testing.T) {
	r := newRig(t, layout{})
	for _, ns := range []*lab.NS{r.ns, r.peerNS} {
		if err := ns.IP(t.Context(), "link", "set", "eth0", "mtu", "1300"); err != nil {
			t.Fatal(err)
		}
	}
	r.raise(interop.Initiator)
	path := t.TempDir() + "/esp.pcap"
	recorder, err := lab.Record(t.Context(), r.ns, "eth0", path)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := r.ns.Exec(t.Context(), "ping", "-n", "-c", "2", "-W", "5", "-i", "0.2", "-M", "do", "-s", "1300", "-I", r.inner, r.inneR)
	if !strings.Contains(out, "Frag needed") && !strings.Contains(out, "essage too long") {
		t.Errorf("a packet that does not fit: %s", out)
	}
	r.echo(1, 1000, 1200, 1300, 3000, 1, 1000, 1200, 1300, 3000)
	if err := recorder.Stop(); err != nil {
		t.Fatal(err)
	}
	all, err := exec.CommandContext(t.Context(), "tshark", "-r", path, "-Y", "ip.src == "+r.own, "-T", "fields", "-e", "ip.flags.mf", "-e", "ip.frag_offset").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(all))
	if len(lines) < 40 {
		t.Errorf("%d packets of ours were captured", len(lines)/2)
	}
	for _, field := range lines {
		if field != "0" && field != "False" {
			t.Fatalf("a fragment is outside: %s", field)
		}
	}
}

// iperf runs iperf3 through the tunnel, with the server at the peer, and gives
// its report.
func (r *rig) iperf(args ...string) (report struct {
	End struct {
		SumReceived struct {
			Bytes         float64 `json:"bytes"`
			BitsPerSecond float64 `json:"bits_per_second"`
		} `json:"sum_received"`
		Sum struct {
			LostPercent float64 `json:"lost_percent"`
			Packets     int     `json:"packets"`
		} `json:"sum"`
	} `json:"end"`
	Error string `json:"error"`
}) {
	r.t.Helper()
	server, err := r.peerNS.Spawn(nil, r.t.TempDir()+"/iperf.log", "iperf3", "-s", "-1", "-B", r.inneR)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = server.Stop() }() // it ends by itself
	if err := lab.Eventually(r.t.Context(), patience, "iperf3 to listen", func() bool {
		out, _ := r.peerNS.Exec(r.t.Context(), "ss", "-ltn", "sport", "= :5201")
		return strings.Contains(out, "5201")
	}); err != nil {
		r.t.Fatal(err)
	}
	out, err := r.ns.Exec(r.t.Context(), append([]string{"iperf3", "-J", "-c", r.inneR, "-B", r.inner}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Error != "" {
		r.t.Fatalf("iperf3: %v %s", err, report.Error)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func TestInteropStreamsArePassedWithStrongSwan(t *testing.T) {
	rec := recorder(t)
	for i, path := range paths {
		if i > 0 && !interop.Full() {
			continue
		}
		eachRole(t, rec, "traffic: TCP and UDP ("+path.name+")", false, func(t *testing.T, role interop.Role, e *interop.Entry) {
			l := path.layout
			if l.scenario.NAT != lab.NoNAT {
				l.weAre = role
			}
			e.Detail("iperf3, both ways of each: TCP at full speed, UDP at 20 Mbit/s with less than a fifth lost")
			const tries = 10 // a machine that is busy otherwise loses more
			r := newRig(t, l)
			r.raise(role)
			for _, way := range [][]string{nil, {"-R"}} {
				report := r.iperf(append(way, "-t", "1")...)
				t.Logf("TCP %v: %.0f Mbit/s", way, report.End.SumReceived.BitsPerSecond/1e6)
				if report.End.SumReceived.Bytes == 0 {
					t.Errorf("TCP %v: nothing came", way)
				}
				good := false
				for n := 0; n < tries && !good; n++ {
					report = r.iperf(append(way, "-u", "-b", "20M", "-t", "1")...)
					t.Logf("UDP %v: %.2f %% of %d packets lost", way, report.End.Sum.LostPercent, report.End.Sum.Packets)
					good = report.End.Sum.LostPercent <= 20 && report.End.Sum.Packets > 0
				}
				if !good {
					t.Errorf("UDP %v: more than a fifth was lost each time", way)
				}
			}
			if d := r.data.Drops(); d.UnknownSPI != 0 {
				t.Errorf("dropped: %+v", d)
			}
		})
	}
}

// suites are all that strongSwan's user-space ESP has.
func suites() (list []string) {
	for _, bits := range []string{"128", "192", "256"} {
		for _, mode := range []string{"gcm8", "gcm12", "gcm16", "ccm8", "ccm12", "ccm16"} {
			list = append(list, "aes"+bits+mode)
		}
		for _, integ := range []string{"sha1", "sha256", "sha384", "sha512"} {
			list = append(list, "aes"+bits+"-"+integ, "aes"+bits+"ctr-"+integ)
		}
	}
	return append(list, "chacha20poly1305", "3des-sha1", "3des-sha256", "3des-sha384", "3des-sha512", "null-sha1", "null-sha256", "null-sha384", "null-sha512")
}

func TestInteropEverySuiteCarriesTrafficWithStrongSwan(t *testing.T) {
	rec := recorder(t)
	list := suites()
	if !interop.Full() {
		list = []string{"aes256gcm16", "aes192ccm12", "chacha20poly1305", "aes256-sha512", "aes128ctr-sha1", "3des-sha384", "null-sha256"}
	}
	for _, suite := range list {
		eachRole(t, rec, "traffic with ESP: "+suite, false, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("pings of 1 to 9000 octets from either end, each remainder of the block among them")
			r := newRig(t, layout{esp: suite})
			r.raise(role)
			list := append(sizes(1, 33, 1), 64, 1000, 1372, 1400, 3000, 9000)
			r.echo(list...)
			r.carried(uint64(2 * len(list)))
		})
	}
}

// pinging sends pings at 4 ms, until the function that it gives is called, which
// says how many were sent and which were lost, of all before the last that was
// answered.
func (r *rig) pinging() (enough func() (sent int, lost []int)) {
	r.t.Helper()
	stop, done := filepath.Join(r.t.TempDir(), "enough"), make(chan string, 1)
	go func() {
		line := fmt.Sprintf("ping -n -w 300 -i 0.004 -I %s %s & until [ -e %s ]; do sleep 0.05; done; kill -INT $!; wait $!", r.inner, r.inneR, stop)
		out, _ := r.ns.Exec(r.t.Context(), "sh", "-c", line) // what it prints is read
		done <- out
	}()
	return func() (sent int, lost []int) {
		r.t.Helper()
		if err := os.WriteFile(stop, nil, 0o600); err != nil {
			r.t.Fatal(err)
		}
		out := <-done
		answered := map[int]bool{}
		for line := range strings.Lines(out) {
			if _, rest, ok := strings.Cut(line, "icmp_seq="); ok {
				var seq int
				if _, err := fmt.Sscan(rest, &seq); err != nil {
					r.t.Fatal(err)
				}
				answered[seq] = true
				sent = max(sent, seq)
			}
		}
		for seq := 1; seq < sent; seq++ {
			if !answered[seq] {
				lost = append(lost, seq)
			}
		}
		if sent == 0 {
			r.t.Errorf("no ping was answered: %s", out[max(0, len(out)-200):])
		}
		return sent, lost
	}
}

// carrying waits until the one child has carried ten packets.
func (r *rig) carrying() {
	r.t.Helper()
	r.until(r.t, "the child to carry ten packets", func() bool {
		sas := r.sas(r.t)
		return len(sas) == 1 && len(sas[0].Children) == 1 && sas[0].Children[0].PacketsIn.Or(0) >= 10
	})
}

func TestInteropAPeerThatCameBackIsReachedAgainWithStrongSwan(t *testing.T) {
	t.Parallel() // mostly it waits
	rec := recorder(t)
	eachRole(t, rec, "traffic: a peer killed and restarted carries it again", false, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("within the time of dead peer detection: 1 s of silence, 4 retransmissions from 0.4 s on")
		r := newRig(t, layout{impatient: true})
		r.raise(role)
		r.echo(10)
		r.restartPeer()
		began := time.Now()
		if err := lab.Eventually(t.Context(), time.Minute, "the tunnel to carry pings again", func() bool {
			text, _ := r.peer.Swanctl(t.Context(), "--list-sas")
			n, err := lab.Ping(t.Context(), r.ns, r.inner, r.inneR, 1, time.Second)
			return err == nil && n == 1 && strings.Contains(text, "INSTALLED")
		}); err != nil {
			t.Fatal(err)
		}
		t.Logf("back after %s", time.Since(began).Round(100*time.Millisecond))
		r.echo(10)
	})
}

func TestInteropATunnelThatThePeerClosesIsUpAgainWithStrongSwan(t *testing.T) {
	t.Parallel() // mostly it waits
	rec := recorder(t)
	for _, row := range []struct {
		what  string
		peers []string
	}{
		{"the child", []string{"--terminate", "--child", "net"}},
		{"the IKE SA", []string{"--terminate", "--ike", "gw"}},
	} {
		eachRole(t, rec, "traffic: the peer closes "+row.what+", which is to be up", false, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("close: start in our policy; the tunnel carries pings again")
			r := newRig(t, layout{tunnel: ", close: start"})
			r.raise(role)
			r.echo(10)
			old := r.sas(t)[0].Children[0].SPIIn
			r.swanctl(row.peers...)
			r.until(t, "the tunnel is up again", func() bool {
				list := r.sas(t)
				return len(list) == 1 && len(list[0].Children) == 1 && list[0].Children[0].SPIIn != old
			})
			r.echo(10)
			// Ours to take down is ours.
			if err := r.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := r.DPD(limited(t), "gw", nil); err == nil {
				t.Error("there is an IKE SA again")
			}
		})
	}
}

// trapped waits until no SA is left, and proves that the packets that bring the
// tunnel up come through.
func (r *rig) trapped() {
	r.t.Helper()
	if err := lab.Eventually(r.t.Context(), time.Minute, "no SA to be left", func() bool { return len(r.sas(r.t)) == 0 }); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	const count, parts = 20, 3 // packets of 3028 octets go through the device in three
	e, err := lab.Echo(ctx, r.ns, r.inner, r.inneR, slices.Repeat([]int{3000}, count))
	if err != nil || e.Answered != count || e.Malformed > 0 {
		r.t.Errorf("of the packets that bring the tunnel up some are lost: %+v, %v", e, err)
	}
	// One whose answer is late is sent again; into the tunnel all must have gone.
	if _, out := r.counts(); out.Packets != uint64(parts*(count+e.Repeated)) {
		r.t.Errorf("the tunnel has taken %d packets of %d pings in %d parts, %d of them sent again", out.Packets, count, parts, e.Repeated)
	}
	if sas, err := r.SAs(ctx, backend.Filter{Child: "net"}); err != nil || len(sas) != 1 {
		r.t.Errorf("%d SAs, %v", len(sas), err)
	}
	if d := r.data.Drops(); d.Unclaimed+d.UnknownSPI+d.Unsent > 0 {
		r.t.Errorf("dropped: %+v", d)
	}
}

func TestInteropTrafficBringsATunnelUpWithStrongSwan(t *testing.T) {
	t.Parallel() // mostly it waits
	rec := recorder(t)
	for _, row := range []struct {
		feature string
		layout  layout
		lose    bool
	}{
		{"traffic: it brings the tunnel up", layout{tunnel: ", start: trap"}, false},
		{"traffic: it brings the tunnel up after its peer was lost", layout{lost: "trap", impatient: true}, true},
	} {
		t.Run(row.feature, func(t *testing.T) {
			rec.Entry(t, interop.Initiator, row.feature).Detail("the packets that do are held and sent: none is lost")
			r := newRig(t, row.layout)
			if row.lose {
				r.raise(interop.Initiator)
				r.echo(10)
				if err := r.peer.Kill(); err != nil {
					t.Fatal(err)
				}
				if err := lab.Eventually(t.Context(), time.Minute, "the peer to be found lost", func() bool { return len(r.sas(t)) == 0 }); err != nil {
					t.Fatal(err)
				}
				r.startPeer()
			}
			r.trapped()
		})
	}
}
