package diag

import (
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// HostFacts is what is known of the host that a tunnel ends on. It is a plain value
// that diag/probe fills; a nil list is one that could not be seen, and Unseen
// says why. Keys never stand in it.
type HostFacts struct {
	At time.Time
	// Sysctls are those that matter to IPsec, by name with dots, net.ipv4.ip_forward;
	// of single interfaces only disable_xfrm and disable_policy, where they are set.
	Sysctls    map[string]string
	Interfaces []HostInterface
	Routes     []HostRoute
	Policies   []HostPolicy
	States     []HostState
	XfrmStat   map[string]uint64 // /proc/net/xfrm_stat, since the host's start
	// XfrmGrowth is what XfrmStat grew by while it was looked at, nil where
	// it was looked at once only.
	XfrmGrowth map[string]uint64
	// PathFiltered are packets that the reverse path filter of IPv4 dropped
	// since the host's start (rp_filter; IPReversePathFilter).
	PathFiltered uint64
	Sockets      []HostSocket // UDP sockets on ports 500 and 4500
	Chains       []HostChain  // of the firewall that packets come by
	Cores        []HostCore   // between two looks, nil where it was looked at once only
	StateGrowth  uint64       // octets that all States carried between two looks
	Clock        *HostClock   // nil where it could not be asked
	Certificates []HostCertificate
	// Namespace names the network namespace that was looked at where it is not
	// that of this program, "" where it is.
	Namespace string
	Notes     []string // what a reader of these facts has to know
	Unseen    []Unseen
}

// Unseen is a part of HostFacts that could not be looked at.
type Unseen struct {
	What string // "xfrm states"
	Why  string // "operation not permitted"
}

// HostInterface is a network interface.
type HostInterface struct {
	Name     string
	Kind     string // device, veth, xfrm, vti, tun, ...
	MTU      int
	Up       bool
	IfID     uint32 // of an xfrm interface, 0 for none
	RPFilter int    // 0 off, 1 strict, 2 loose: the stricter of all and this
	Prefixes []netip.Prefix
}

// HostRoute is a route of any table.
type HostRoute struct {
	Table   int
	Dst     netip.Prefix // of length 0 for the default
	Gateway netip.Addr   // invalid where there is none
	Dev     string       // "" where there is none
	Type    string       // unicast, throw, blackhole, unreachable, prohibit
}

// HostPolicy is an XFRM policy (RFC 4301 4.4.1).
type HostPolicy struct {
	Dir      string // in, out, fwd
	Src, Dst netip.Prefix
	Block    bool
	IfID     uint32
	Reqid    int // of the first template, 0 where there is none
	Priority int
	Tunnel   bool // it has a template: packets go into an SA
}

// HostState is an XFRM state (RFC 4301 4.4.2), without its keys.
type HostState struct {
	Src, Dst     netip.Addr
	SPI          wire.ESPSPI
	Proto        string // esp, ah, comp
	Reqid        int
	IfID         uint32
	Encap        bool
	ReplayWindow int
	Bytes        uint64
	Packets      uint64
}

// HostSocket is a bound UDP socket.
type HostSocket struct {
	Addr netip.AddrPort
}

// HostCore is how busy one core of the processor was between two looks, in
// shares of the time from 0 to 1.
type HostCore struct {
	Number  int
	Busy    float64
	Packets float64 // in the soft interrupts that handle packets, of all time
}

// HostClock is what the kernel says of its clock.
type HostClock struct {
	Synchronised bool          // something holds it right
	MaxError     time.Duration // by the kernel's own estimate, grows while nothing holds it
	// Past is the latest moment that is over for certain: PastFile was written
	// then. Zero where no such file is here.
	Past     time.Time
	PastFile string
}

// HostCertificate is a certificate that lies where the daemon looks for one,
// with what is wrong about it. Its key is never read into it.
type HostCertificate struct {
	Path                string
	Subject, Issuer     string
	NotBefore, NotAfter time.Time
	CA                  bool   // of the folder for authorities
	HasKey              bool   // a private key that fits it lies beside it
	Issued              bool   // an authority of the folders has issued it, or it is one
	Problem             string // why it cannot be read, "" where it can
}

// HostChain is a chain of the firewall that is hooked into the packets' way.
type HostChain struct {
	Table, Name string // "ip nat", "POSTROUTING"
	Hook        string // input, forward, output, prerouting, postrouting
	Policy      string // accept or drop
	Rules       []HostRule
}

// HostRule is a rule of a HostChain as far as it matters here.
type HostRule struct {
	Text     string       // as the firewall prints it, in short
	Verdict  string       // accept, drop, reject, masquerade, snat, return, jump, ""
	Protocol string       // udp, esp, tcp, ...; "" for any
	Ports    []uint16     // destination ports, nil for any
	Dst, Src netip.Prefix // invalid for any
	IPsec    bool         // it asks for an IPsec policy, or for its absence
	Narrow   bool         // it asks for something else too: an interface, a state, a mark
}

// Stat gives a counter of XfrmStat, by its growth where that is known, and
// says whether it is growth.
func (h *HostFacts) Stat(name string) (n uint64, grows bool) {
	if h.XfrmGrowth != nil {
		return h.XfrmGrowth[name], true
	}
	return h.XfrmStat[name], false
}
