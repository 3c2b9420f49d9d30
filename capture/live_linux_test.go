package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab/need"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// inNamespace runs a test in a network namespace of its own, in which the
// pair v0 and v1 of virtual interfaces and lo are up.
func inNamespace(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	need.Root(t)
	ip := need.Program(t, "ip")
	// The thread stays locked, and ends with the test's goroutine: no other
	// goroutine ever runs in the namespace.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("cannot make a network namespace: %v", err)
	}
	for _, args := range []string{
		"link set lo up",
		"link add v0 type veth peer name v1",
		"link set v0 up",
		"link set v1 up",
	} {
		if out, err := exec.Command(ip, strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	for _, name := range []string{"v0", "v1"} {
		waitRunning(t, name)
	}
	test(t)
}

// waitRunning waits until an interface has its carrier: before that the
// kernel drops what is sent.
func waitRunning(t *testing.T, name string) {
	t.Helper()
	for range 6000 {
		in, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if in.Flags&net.FlagRunning != 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("interface %s got no carrier", name)
}

// sender opens a way to send frames from v0 to v1: each has arrived when send
// returns, which a busy kernel sees to later. Captures that are begun after it are
// given a frame before it is.
func sender(t *testing.T) (send func(b []byte)) {
	t.Helper()
	open := func(iface string, protocol uint16) (int, *unix.SockaddrLinklayer) {
		in, err := net.InterfaceByName(iface)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Close(fd); err != nil {
				t.Error(err)
			}
		})
		return fd, &unix.SockaddrLinklayer{Protocol: hostToNet(protocol), Ifindex: in.Index}
	}
	from, out := open("v0", unix.ETH_P_ALL)
	to, in := open("v1", unix.ETH_P_ALL)
	if err := unix.Bind(to, in); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(to, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}); err != nil {
		t.Fatal(err)
	}
	arrived := make([]byte, 1<<16)
	const tagged = 18 // octets of an Ethernet header with a VLAN tag, which the kernel takes out
	return func(b []byte) {
		t.Helper()
		if err := unix.Sendto(from, b, 0, out); err != nil {
			t.Fatal(err)
		}
		for {
			n, _, err := unix.Recvfrom(to, arrived, 0)
			if err != nil {
				t.Fatalf("waiting for a frame to arrive: %v", err)
			}
			if bytes.HasSuffix(arrived[:n], b[tagged:]) {
				return
			}
		}
	}
}

// tunnelDevice makes a TUN device that is up. What is written to it arrives
// from the network.
func tunnelDevice(t *testing.T, name string) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "tun")
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	req, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "set", name, "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return f
}

func ethernetUDP(t *testing.T, port uint16, text string, tags ...uint16) []byte {
	t.Helper()
	ls := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{255, 255, 255, 255, 255, 255}, EthernetType: layers.EthernetTypeIPv4}}
	for _, id := range tags {
		ls[0].(*layers.Ethernet).EthernetType = layers.EthernetTypeDot1Q
		ls = append(ls, &layers.Dot1Q{VLANIdentifier: id, Type: layers.EthernetTypeIPv4})
	}
	ls = append(ls, ip4(17), &layers.UDP{SrcPort: 1024, DstPort: layers.UDPPort(port)}, gopacket.Payload(text))
	return stack(t, ls...)
}

// until reads frames up to one that holds "last", and then ends the capture.
func until(t *testing.T, src Source, cancel context.CancelFunc) []Frame {
	t.Helper()
	var got []Frame
	for f, err := range src.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		f.Data = slices.Clone(f.Data)
		got = append(got, f)
		if bytes.Contains(f.Data, []byte("last")) {
			cancel()
		}
	}
	return got
}

func capturing(t *testing.T, iface string, opts LiveOptions) (Source, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	src, err := Live(ctx, iface, opts)
	if err != nil {
		t.Fatal(err)
	}
	return src, cancel
}

func TestLiveCapturesWhatTheFilterLetsThrough(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		began := time.Now()
		send := sender(t)
		src, cancel := capturing(t, "v1", LiveOptions{Promiscuous: true})
		first, tagged, last := ethernetUDP(t, 500, "first"), ethernetUDP(t, 4500, "tagged", 77), ethernetUDP(t, 500, "last")
		send(first)
		send(ethernetUDP(t, 53, "not this one"))
		send(tagged)
		send(last)
		got := until(t, src, cancel)
		if len(got) != 3 {
			t.Fatalf("got %d frames, want 3", len(got))
		}
		for i, want := range [][]byte{first, tagged, last} {
			f := got[i]
			if !bytes.Equal(f.Data, want) || f.Link != LinkEthernet || f.Length != len(want) || f.Number != int64(i+1) {
				t.Errorf("frame %d is %+v, want %x", i+1, f, want)
			}
			if f.Time.Before(began.Add(-time.Second)) || f.Time.After(time.Now().Add(time.Second)) {
				t.Errorf("frame %d is of %v", i+1, f.Time)
			}
		}
		if st := src.(Counter).Stats(); st.Frames != 3 || st.Dropped != 0 {
			t.Errorf("stats are %+v", st)
		}
	})
}

func TestLiveOnLoopbackShowsEachPacketOnce(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		src, cancel := capturing(t, "lo", LiveOptions{})
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, text := range []string{"one", "two", "last"} {
			if _, err := conn.WriteToUDP([]byte(text), &net.UDPAddr{IP: net.IP{127, 0, 0, 1}, Port: 4500}); err != nil {
				t.Fatal(err)
			}
		}
		var texts []string
		for _, f := range until(t, src, cancel) {
			if f.Link != LinkEthernet {
				t.Errorf("link type is %d", f.Link)
			}
			if f.Data[14+9] == 17 {
				texts = append(texts, string(f.Data[14+20+8:]))
			}
		}
		if want := []string{"one", "two", "last"}; !slices.Equal(texts, want) {
			t.Errorf("got %q, want %q", texts, want)
		}
	})
}

func TestLiveOnAnyAndOnTunnelsIsCooked(t *testing.T) {
	for iface, tags := range map[string][]uint16{"any": {9}, "t0": nil} {
		t.Run(iface, func(t *testing.T) {
			inNamespace(t, func(t *testing.T) {
				tun := tunnelDevice(t, "t0")
				send := sender(t)
				src, cancel := capturing(t, iface, LiveOptions{})
				frame := ethernetUDP(t, 4500, "the last", tags...)
				if iface == "any" {
					send(frame)
				} else if _, err := tun.Write(frame[14:]); err != nil {
					t.Fatal(err)
				}
				got := until(t, src, cancel)
				want := frame[12:]
				for _, f := range got {
					if f.Link != LinkSLL2 || !bytes.Equal(slices.Concat(f.Data[:2], f.Data[20:]), want) || f.Length != len(f.Data) {
						t.Errorf("frame is %+v, want %x in SLL2", f, want)
					}
					if binary.BigEndian.Uint32(f.Data[4:]) == 0 {
						t.Error("the frame names no interface")
					}
				}
				if len(got) == 0 {
					t.Error("nothing captured")
				}
			})
		})
	}
}

func TestLiveEndsWithItsContextAndKeepsWhatTheKernelHas(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		send := sender(t)
		src, cancel := capturing(t, "v1", LiveOptions{})
		for range 5 {
			send(ethernetUDP(t, 500, "sent before the end"))
		}
		cancel()
		got, err := drain(t, src)
		if err != nil || len(got) != 5 {
			t.Errorf("%d frames, error %v, want 5 and none", len(got), err)
		}
	})
}

func TestLiveCountsFramesThatTheKernelHadNoRoomFor(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		send := sender(t)
		src, cancel := capturing(t, "v1", LiveOptions{All: true})
		big := ethernetUDP(t, 500, strings.Repeat("x", 1400))
		const sent = 12_000 // twice what the ring holds
		for range sent {
			send(big)
		}
		cancel()
		n := 0
		for _, err := range src.Frames() {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if st := src.(Counter).Stats(); st.Dropped == 0 || st.Frames != int64(n) || st.Frames+st.Dropped < sent {
			t.Errorf("stats are %+v after %d frames", st, sent)
		}
	})
}

func TestLiveEndsWithAnErrorWhenTheInterfaceGoes(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		src, _ := capturing(t, "v1", LiveOptions{})
		if out, err := exec.Command("ip", "link", "del", "v1").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, err := drain(t, src)
		if err == nil || !strings.HasPrefix(err.Error(), "capture on v1: network is down") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestLiveRefusesInterfacesThatAreNotThere(t *testing.T) {
	_, err := Live(t.Context(), "no such interface", LiveOptions{})
	if err == nil || !strings.Contains(err.Error(), `no interface named "no such interface"; there are`) {
		t.Errorf("error is %v", err)
	}
	inNamespace(t, func(t *testing.T) {
		if out, err := exec.Command("ip", "link", "set", "v1", "down").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := Live(t.Context(), "v1", LiveOptions{}); err == nil || err.Error() != "interface v1 is down" {
			t.Errorf("error is %v", err)
		}
	})
}

func TestLiveCaptureBrokenOutOfReleasesEverything(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		send := sender(t)
		before := openFiles(t)
		src, _ := capturing(t, "v1", LiveOptions{})
		send(ethernetUDP(t, 500, "one"))
		for f, err := range src.Frames() {
			if err != nil || len(f.Data) == 0 {
				t.Errorf("frame is %+v, %v", f, err)
			}
			break
		}
		if after := openFiles(t); after > before {
			t.Errorf("%d files open, %d before", after, before)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
