package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// kernelFaults are those of two strongSwans whose kernels do ESP, and of what
// these kernels are told.
func kernelFaults() []Fault {
	up := func(later ...func(context.Context, *lab.Bench) error) func(context.Context, *lab.Bench) error {
		return inTurn(append([]func(context.Context, *lab.Bench) error{upAndPinged}, later...)...)
	}
	const uncounted = "daemons count packets, and not their lengths"
	return []Fault{
		{Name: "kernels: the path drops ESP", Kernel: true, Want: silent("esp-one-way-out"), Hidden: unheard,
			Upset: bridged(atResponder, "ether type ip ip protocol esp drop"), Act: vainPings},
		{Name: "kernels: the path drops ESP of the responder", Kernel: true, Want: map[Source]string{VICIInitiator: "esp-one-way-out"},
			Hidden: "the responder answers all that it gets, and at the initiator both directions are on the wire", Upset: bridged(atInitiator, "ether type ip ip protocol esp ip saddr 192.0.2.2 drop"), Act: vainPings},
		{Name: "kernels: the initiator's applies no policy to what leaves", Kernel: true, Want: onHost("policy-or-if-id-missing"), Hidden: untold,
			Upset: sysctl(onInitiator, "net.ipv4.conf.net0.disable_xfrm=1"), Act: vainPings},
		{Name: "kernels: the initiator's takes what comes in the clear", Kernel: true, Want: onHost("policy-or-if-id-missing"), Hidden: untold,
			Upset: sysctl(onInitiator, "net.ipv4.conf.all.disable_policy=1"), Act: up()},
		{Name: "kernels: none has the cipher that both ends have in common", Kernel: true, Hidden: alike,
			Want: map[Source]string{VICIInitiator: "no-proposal-child-initial", VICIResponder: "kernel-algorithm-missing", Keyed: "no-proposal-child-initial"},
			Ends: both(func(e *lab.End) { e.ESP = "camellia256ctr-sha256" })},
		{Name: "kernels: the path takes short packets only, and does not say so", Kernel: true, Hidden: uncounted, Want: map[Source]string{Keyed: "mtu-pmtu-blackhole", Sealed: "mtu-pmtu-blackhole"},
			Upset: narrow, Act: up(longPings)},
		{Name: "kernels: the initiator's SA to send by is gone", Kernel: true, Want: onHost("outbound-sa-not-installed"), Hidden: untold,
			Act: up(lost("state", "src 192.0.2.1 dst 192.0.2.2"), rest(11*time.Second))},
		{Name: "kernels: the initiator's policy is gone", Kernel: true, Want: onHost("policy-or-if-id-missing"), Hidden: untold,
			Act: up(lost("policy", "src 10.1.0.1/32 dst 10.2.0.1/32"))},
	}
}

// kernelVariants are healthy tunnels of that kind.
func kernelVariants() []Fault {
	return []Fault{
		{Name: "kernels: plain tunnel", Kernel: true, Act: upAndPinged},
		{Name: "kernels: child rekeyed", Kernel: true, Act: inTurn(upAndPinged, renewed)},
	}
}

// bridged has a namespace with a guest in it treat the frames that it passes on.
func bridged(at where, rules string) Upset {
	return func(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
		ns := at(b)
		if err := ns.NFT(ctx, fmt.Sprintf("table bridge fault {\n chain c {\n type filter hook forward priority 0;\n %s\n }\n}\n", rules)); err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return ns.NFT(ctx, "delete table bridge fault\n") }, nil
	}
}

// lost removes from the initiator's kernel what begins with these addresses, of
// XFRM states or of the policies that lead out. The next fault's taking down
// cleans it up.
func lost(object, addresses string) func(context.Context, *lab.Bench) error {
	return func(ctx context.Context, b *lab.Bench) error {
		if object == "policy" {
			_, err := b.HostA.Exec(ctx, append([]string{"ip", "xfrm", "policy", "delete", "dir", "out"}, strings.Fields(addresses)...)...)
			return err
		}
		_, err := b.HostA.Exec(ctx, append([]string{"ip", "xfrm", object, "deleteall"}, strings.Fields(addresses)...)...)
		return err
	}
}

// narrow has the path to the responder drop what is longer than 1300 octets.
func narrow(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
	order := func(ctx context.Context, mtu string) error { return b.NSB.IP(ctx, "link", "set", "eth0", "mtu", mtu) }
	return func(ctx context.Context) error { return order(ctx, "1500") }, order(ctx, "1300")
}

// longPings sends short pings through the tunnel, and then long ones that may
// not be split.
func longPings(ctx context.Context, b *lab.Bench) error {
	if err := pinged(ctx, b); err != nil {
		return err
	}
	for _, size := range []string{"100", "1380"} {
		// That none is answered is its exit status, and what is to be seen.
		_, _ = b.HostA.Exec(ctx, "ping", "-n", "-q", "-M", "do", "-c", "6", "-i", "0.7", "-W", "1", "-s", size, "-I", b.InnerA, b.InnerB)
	}
	return nil
}

// renewed rekeys the child, and wants pings answered.
func renewed(ctx context.Context, b *lab.Bench) error {
	if out, err := b.A.Swanctl(ctx, "--rekey", "--child", "net"); err != nil {
		return &failed{out, err}
	}
	return pinged(ctx, b)
}
