package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// sysctls are the settings that matter to IPsec.
var sysctls = []string{
	"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter",
	"net.ipv4.conf.all.send_redirects", "net.ipv4.conf.all.accept_redirects", "net.ipv4.ip_no_pmtu_disc", "net.ipv4.conf.all.disable_policy",
	"net.ipv4.conf.all.disable_xfrm", "net.core.xfrm_acq_expires", "net.core.xfrm_larval_drop",
}

func look(ctx context.Context, h *diag.HostFacts) {
	h.Sysctls = map[string]string{}
	for _, name := range sysctls {
		if v, err := sysctl(name); err == nil {
			h.Sysctls[name] = v
		}
	}
	unseen(h, "interfaces", interfaces(h))
	unseen(h, "routes", routes(h))
	unseen(h, "xfrm policies", policies(h))
	unseen(h, "xfrm states", states(h))
	var err error
	h.XfrmStat, err = xfrmStat()
	unseen(h, "xfrm statistics", err)
	h.PathFiltered, err = pathFiltered()
	unseen(h, "reverse path filter", err)
	unseen(h, "listening sockets", sockets(h))
	unseen(h, "firewall", firewall(ctx, h))
	unseen(h, "clock", clock(h))
}

func sysctl(name string) (string, error) {
	// An interface's name may hold a dot: it is never part of a name here.
	b, err := readFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	return strings.TrimSpace(string(b)), err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func interfaces(h *diag.HostFacts) error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	everywhere, _ := strconv.Atoi(h.Sysctls["net.ipv4.conf.all.rp_filter"])
	h.Interfaces = []diag.HostInterface{}
	for _, l := range links[:min(len(links), maxEntries)] {
		a := l.Attrs()
		i := diag.HostInterface{Name: a.Name, Kind: l.Type(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, RPFilter: everywhere}
		if x, ok := l.(*netlink.Xfrmi); ok {
			i.IfID = x.Ifid
		}
		if filepath.Base(a.Name) == a.Name {
			if b, err := readFile("/proc/sys/net/ipv4/conf/" + a.Name + "/rp_filter"); err == nil {
				own, _ := strconv.Atoi(strings.TrimSpace(string(b)))
				i.RPFilter = max(everywhere, own)
			}
			for _, off := range []string{"disable_xfrm", "disable_policy"} {
				if b, err := readFile("/proc/sys/net/ipv4/conf/" + a.Name + "/" + off); err == nil && strings.TrimSpace(string(b)) == "1" {
					h.Sysctls["net.ipv4.conf."+a.Name+"."+off] = "1"
				}
			}
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, x := range addrs {
			i.Prefixes = append(i.Prefixes, prefix(x.IPNet))
		}
		h.Interfaces = append(h.Interfaces, i)
	}
	return nil
}

// prefix converts; nil is the invalid prefix.
func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Prefix{}
	}
	if a = a.Unmap(); a.Is4() && size == 128 {
		bits = max(bits-96, 0)
	}
	return netip.PrefixFrom(a, bits)
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func routes(h *diag.HostFacts) error {
	names := map[int]string{}
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	h.Routes = []diag.HostRoute{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// Table 0 with this mask is every table.
		list, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		for i := range list {
			r := &list[i]
			if r.Table == unix.RT_TABLE_LOCAL || len(h.Routes) >= maxEntries {
				continue
			}
			dst := prefix(r.Dst)
			if !dst.IsValid() {
				dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
				if family == netlink.FAMILY_V6 {
					dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
				}
			}
			h.Routes = append(h.Routes, diag.HostRoute{Table: r.Table, Dst: dst, Gateway: addr(r.Gw), Dev: names[r.LinkIndex], Type: routeType(r.Type)})
		}
	}
	return nil
}

func routeType(t int) string {
	switch t {
	case unix.RTN_THROW:
		return "throw"
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	}
	return "unicast"
}

func policies(h *diag.HostFacts) error {
	list, err := netlink.XfrmPolicyList(netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	h.Policies = []diag.HostPolicy{}
	for i := range list[:min(len(list), maxEntries)] {
		p := &list[i]
		if p.Dir > netlink.XFRM_DIR_FWD {
			continue // of a socket
		}
		out := diag.HostPolicy{Dir: p.Dir.String(), Src: prefix(p.Src), Dst: prefix(p.Dst), Block: p.Action == netlink.XFRM_POLICY_BLOCK,
			IfID: uint32(p.Ifid), Priority: p.Priority, Tunnel: len(p.Tmpls) > 0}
		out.Dir = strings.TrimPrefix(out.Dir, "dir ")
		if out.Tunnel {
			out.Reqid = p.Tmpls[0].Reqid
		}
		h.Policies = append(h.Policies, out)
	}
	return nil
}

func states(h *diag.HostFacts) error {
	list, err := netlink.XfrmStateList(netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	h.States = []diag.HostState{}
	for i := range list[:min(len(list), maxEntries)] {
		s := &list[i]
		h.States = append(h.States, diag.HostState{Src: addr(s.Src), Dst: addr(s.Dst), SPI: wire.ESPSPI(uint32(s.Spi)), Proto: s.Proto.String(),
			Reqid: s.Reqid, IfID: uint32(s.Ifid), Encap: s.Encap != nil, ReplayWindow: s.ReplayWindow, Bytes: s.Statistics.Bytes, Packets: s.Statistics.Packets})
	}
	return nil
}

func xfrmStat() (map[string]uint64, error) {
	b, err := readFile("/proc/thread-self/net/xfrm_stat")
	if err != nil {
		return nil, err
	}
	m := map[string]uint64{}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 {
			if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				m[f[0]] = n
			}
		}
	}
	return m, nil
}

// pathFiltered reads IPReversePathFilter out of netstat: a line of names and
// then one of numbers.
func pathFiltered() (uint64, error) {
	b, err := readFile("/proc/thread-self/net/netstat")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if i := slices.Index(names, "IPReversePathFilter"); i >= 0 && i < len(f) && f[0] == names[0] {
			return strconv.ParseUint(f[i], 10, 64)
		}
		names = f
	}
	return 0, nil // a kernel that does not count it
}

// sockets reads which UDP sockets are bound to the ports of IKE: proc(5).
func sockets(h *diag.HostFacts) error {
	h.Sockets = []diag.HostSocket{}
	for _, file := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
		b, err := readFile(file)
		if err != nil {
			if os.IsNotExist(err) && strings.HasSuffix(file, "6") {
				continue // no IPv6 here
			}
			return err
		}
		s := bufio.NewScanner(strings.NewReader(string(b)))
		for s.Scan() {
			f := strings.Fields(s.Text())
			if len(f) < 2 {
				continue
			}
			a, ok := procAddr(f[1])
			if ok && (a.Port() == 500 || a.Port() == 4500) {
				h.Sockets = append(h.Sockets, diag.HostSocket{Addr: a})
			}
		}
	}
	return nil
}

// procAddr reads "0100007F:01F4": words in the host's order, which is little
// endian wherever this program runs.
func procAddr(s string) (netip.AddrPort, bool) {
	word, port, ok := strings.Cut(s, ":")
	p, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || len(word) != 8 && len(word) != 32 {
		return netip.AddrPort{}, false
	}
	var octets []byte
	for at := 0; at < len(word); at += 8 {
		w, err := strconv.ParseUint(word[at:at+8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		octets = append(octets, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	a, ok := netip.AddrFromSlice(octets)
	return netip.AddrPortFrom(a, uint16(p)), ok
}
