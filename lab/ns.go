package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// NS is a network namespace that this process made.
type NS struct {
	Name string
}

var nsCount atomic.Int64

// NewNS makes an empty namespace with its loopback up. The label is there for
// people who read `ip netns`. IPv6 addresses are usable at once, and no router
// solicitations or multicast reports disturb a capture.
func NewNS(ctx context.Context, label string) (*NS, error) {
	ns := &NS{Name: fmt.Sprintf("cvl%d-%d-%s", os.Getpid(), nsCount.Add(1), label)}
	if _, err := command(ctx, "ip", "netns", "add", ns.Name); err != nil {
		return nil, err
	}
	_, err := ns.Exec(ctx, "sh", "-c", `ip link set lo up
for c in all default; do
  echo 0 > /proc/sys/net/ipv6/conf/$c/accept_dad
  echo 0 > /proc/sys/net/ipv6/conf/$c/router_solicitations
  echo 0 > /proc/sys/net/ipv4/conf/$c/rp_filter
done`)
	if err != nil {
		return nil, errors.Join(err, ns.Delete())
	}
	return ns, nil
}

// Delete removes the namespace and with it every interface in it.
func (ns *NS) Delete() error {
	_, err := command(context.Background(), "ip", "netns", "del", ns.Name)
	return err
}

// Exec runs a program in the namespace and gives what it printed.
func (ns *NS) Exec(ctx context.Context, argv ...string) (string, error) {
	return command(ctx, "ip", append([]string{"netns", "exec", ns.Name}, argv...)...)
}

// IP runs the ip tool on the namespace.
func (ns *NS) IP(ctx context.Context, args ...string) error {
	_, err := command(ctx, "ip", append([]string{"-n", ns.Name}, args...)...)
	return err
}

// Spawn starts a program in the namespace; its output goes to logPath.
func (ns *NS) Spawn(env []string, logPath string, argv ...string) (*Process, error) {
	// ip netns exec replaces itself by the program: the process id is the
	// program's own.
	return startProcess(env, logPath, "ip", append([]string{"netns", "exec", ns.Name}, argv...)...)
}

// NFT loads an nftables ruleset into the namespace.
func (ns *NS) NFT(ctx context.Context, rules string) error {
	_, err := commandInput(ctx, strings.NewReader(rules), "ip", "netns", "exec", ns.Name, "nft", "-f", "-")
	return err
}

// Address puts addresses (with prefix lengths) on an interface of a host.
func Address(ctx context.Context, host Host, dev string, prefixes ...string) error {
	for _, p := range prefixes {
		parsed, err := netip.ParsePrefix(p)
		if err != nil {
			return fmt.Errorf("address of %s: %w", dev, err)
		}
		argv := []string{"ip", "addr", "add", p, "dev", dev}
		if parsed.Addr().Is6() {
			argv = append(argv, "nodad")
		}
		if _, err := host.Exec(ctx, argv...); err != nil {
			return err
		}
	}
	return nil
}

// Route adds a default route for the family of the gateway.
func Route(ctx context.Context, host Host, gateway string) error {
	gw, err := netip.ParseAddr(gateway)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	family := "-4"
	if gw.Is6() {
		family = "-6"
	}
	_, err = host.Exec(ctx, "ip", family, "route", "add", "default", "via", gateway)
	return err
}

// Join lays a veth pair between two namespaces, up at both ends when it returns,
// with checksums computed in full so that captures show what a wire would.
func Join(ctx context.Context, a *NS, devA string, b *NS, devB string) error {
	if _, err := command(ctx, "ip", "link", "add", devA, "netns", a.Name, "type", "veth",
		"peer", "name", devB, "netns", b.Name); err != nil {
		return err
	}
	ends := []struct {
		ns  *NS
		dev string
	}{{a, devA}, {b, devB}}
	for _, end := range ends {
		if err := end.ns.IP(ctx, "link", "set", end.dev, "addrgenmode", "none"); err != nil {
			return err
		}
		if err := end.ns.IP(ctx, "link", "set", end.dev, "up"); err != nil {
			return err
		}
		if _, err := end.ns.Exec(ctx, "ethtool", "-K", end.dev, "tx", "off", "gso", "off", "gro", "off"); err != nil {
			return err
		}
	}
	// The kernel sees to that after the command has returned.
	for _, end := range ends {
		if err := Eventually(ctx, time.Minute, end.dev+" to be up", func() bool {
			out, err := command(ctx, "ip", "-n", end.ns.Name, "-o", "link", "show", "dev", end.dev)
			return err == nil && strings.Contains(out, " state UP ")
		}); err != nil {
			return err
		}
	}
	return nil
}
