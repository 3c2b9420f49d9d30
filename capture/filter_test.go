package capture

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/net/bpf"
)

// stack puts layers together, with lengths filled in.
func stack(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b.Bytes())
}

func ip4(p layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
}

func ip6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: p, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
}

func ports(src, dst uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	return append(b, 0, 20, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
}

// packets are IP packets and whether the filter is to let them through.
func packets(t testing.TB) []filterCase {
	four := func(p layers.IPProtocol, b []byte) []byte { return stack(t, ip4(p), gopacket.Payload(b)) }
	six := func(p layers.IPProtocol, b []byte) []byte { return stack(t, ip6(p), gopacket.Payload(b)) }
	options := ip4(layers.IPProtocolUDP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	later, first := ip4(layers.IPProtocolUDP), ip4(layers.IPProtocolUDP)
	later.FragOffset = 185
	first.Flags = layers.IPv4MoreFragments
	return []filterCase{
		{"udp 500", four(17, ports(500, 500)), true, 4},
		{"udp to 500", four(17, ports(1024, 500)), true, 4},
		{"udp from 4500", four(17, ports(4500, 1024)), true, 4},
		{"udp 53", four(17, ports(53, 1024)), false, 4},
		{"udp 500 behind options", stack(t, options, gopacket.Payload(ports(1024, 500))), true, 4},
		{"udp 53 behind options", stack(t, options, gopacket.Payload(ports(1024, 53))), false, 4},
		{"udp, port of the user", four(17, ports(1024, 10500)), true, 4},
		{"esp", four(50, make([]byte, 20)), true, 4},
		{"ah", four(51, make([]byte, 20)), true, 4},
		{"tcp 4500", four(6, append(ports(1024, 4500), 0x50, 0, 0, 0)), true, 4},
		{"tcp 500", four(6, ports(1024, 500)), false, 4},
		{"tcp 443", four(6, ports(443, 1024)), false, 4},
		{"icmp unreachable", four(1, []byte{3, 3, 0, 0, 0, 0, 0, 0}), true, 4},
		{"icmp echo", four(1, []byte{8, 0, 0, 0, 0, 0, 0, 0}), false, 4},
		{"later fragment", stack(t, later, gopacket.Payload(ports(9, 9))), true, 4},
		{"first fragment of IKE", stack(t, first, gopacket.Payload(ports(500, 500))), true, 4},
		{"first fragment of another", stack(t, first, gopacket.Payload(ports(53, 53))), false, 4},
		{"gre", four(47, make([]byte, 20)), false, 4},
		{"udp 500, IPv6", six(17, ports(500, 500)), true, 6},
		{"udp 53, IPv6", six(17, ports(53, 53)), false, 6},
		{"udp, port of the user, IPv6", six(17, ports(10500, 9)), true, 6},
		{"esp, IPv6", six(50, make([]byte, 20)), true, 6},
		{"ah, IPv6", six(51, make([]byte, 20)), true, 6},
		{"fragment, IPv6", six(44, make([]byte, 20)), true, 6},
		{"hop by hop, IPv6", six(0, append([]byte{17}, make([]byte, 20)...)), true, 6},
		{"multicast listener report", six(0, append([]byte{58}, make([]byte, 20)...)), false, 6},
		{"tcp 4500, IPv6", six(6, ports(4500, 9)), true, 6},
		{"tcp 80, IPv6", six(6, ports(80, 9)), false, 6},
		{"packet too big", six(58, []byte{2, 0, 0, 0, 0, 0, 5, 0}), true, 6},
		{"neighbour, IPv6", six(58, []byte{135, 0, 0, 0, 0, 0, 0, 0}), false, 6},
	}
}

type filterCase struct {
	name    string
	packet  []byte
	want    bool
	version int
}

func verdict(t testing.TB, vm *bpf.VM, b []byte) bool {
	t.Helper()
	n, err := vm.Run(b)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func machine(t testing.TB, o LiveOptions, cooked bool) *bpf.VM {
	t.Helper()
	prog, err := filterInstructions(o, cooked)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestKernelFilterLetsIPsecThroughAndNothingElse(t *testing.T) {
	opts := LiveOptions{Ports: []uint16{10500, 4500, 10500}}
	ethernet, cooked := machine(t, opts, false), machine(t, opts, true)
	mac := "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"
	for _, c := range packets(t) {
		t.Run(c.name, func(t *testing.T) {
			ether, ppp := "\x08\x00", "\x00\x21"
			if c.version == 6 {
				ether, ppp = "\x86\xdd", "\x00\x57"
			}
			if got := verdict(t, cooked, c.packet); got != c.want {
				t.Errorf("cooked: %v, want %v", got, c.want)
			}
			for link, head := range map[string]string{
				"ethernet":        mac + ether,
				"vlan":            mac + "\x81\x00\x00\x07" + ether,
				"qinq":            mac + "\x88\xa8\x00\x07\x81\x00\x00\x08" + ether,
				"pppoe":           mac + "\x88\x64\x11\x00\x00\x01\x00\x40" + ppp,
				"pppoe in a vlan": mac + "\x81\x00\x00\x07\x88\x64\x11\x00\x00\x01\x00\x40" + ppp,
			} {
				if got := verdict(t, ethernet, append([]byte(head), c.packet...)); got != c.want {
					t.Errorf("%s: %v, want %v", link, got, c.want)
				}
			}
		})
	}
	for name, b := range map[string]string{"arp": mac + "\x08\x06\x00\x01", "empty": "", "cut": mac + "\x08\x00", "cut in IP": mac + "\x08\x00\x45\x00"} {
		if verdict(t, ethernet, []byte(b)) {
			t.Errorf("%s comes through", name)
		}
	}
}

func TestKernelFilterLetsTunnelsThroughOnRequest(t *testing.T) {
	plain, tunnels := machine(t, LiveOptions{}, true), machine(t, LiveOptions{Tunnels: true}, true)
	for name, b := range map[string][]byte{
		"gre":       stack(t, ip4(47), gopacket.Payload(make([]byte, 8))),
		"ip in ip":  stack(t, ip4(4), gopacket.Payload(make([]byte, 20))),
		"6in4":      stack(t, ip4(41), gopacket.Payload(make([]byte, 40))),
		"gre, IPv6": stack(t, ip6(47), gopacket.Payload(make([]byte, 8))),
		"vxlan":     stack(t, ip4(17), gopacket.Payload(ports(1024, 4789))),
	} {
		if verdict(t, plain, b) || !verdict(t, tunnels, b) {
			t.Errorf("%s: %v without the option, %v with it", name, verdict(t, plain, b), verdict(t, tunnels, b))
		}
	}
}

func TestKernelFilterStaysWithinTheKernelsLimit(t *testing.T) {
	var all []uint16
	for p := range uint16(5000) {
		all = append(all, p+20000)
	}
	raw, err := filterProgram(LiveOptions{Ports: all, Tunnels: true}, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 4096 {
		t.Errorf("%d instructions, the kernel takes 4096", len(raw))
	}
}

func TestFilterInWordsNamesThePortsOfTheUser(t *testing.T) {
	got := LiveOptions{Ports: []uint16{10500}, Tunnels: true}.Filter()
	for _, want := range []string{"udp port 500 or", "port 10500", "esp", "gre"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if got := (LiveOptions{All: true}).Filter(); got != "" {
		t.Errorf("no filter is told as %q", got)
	}
}
