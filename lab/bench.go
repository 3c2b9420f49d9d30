package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// Addresses of a bench. Inner addresses stand on the loopback of each end.
const (
	innerA4, innerB4 = "10.1.0.1", "10.2.0.1"
	innerA6, innerB6 = "fd00:1::1", "fd00:2::1"
	outerA4, outerB4 = "192.0.2.1", "192.0.2.2"
	outerA6, outerB6 = "2001:db8::1", "2001:db8::2"
	extraA4          = "192.0.2.11" // a second address of the initiator, for scenarios that move it
	privateA4        = "10.77.0.2"  // the initiator behind its NAT box
	publicA4         = "198.51.100.2"
	privateB4        = "10.88.0.2" // the responder behind its NAT box
	outerDev         = "eth0"
)

// Bench is two ends, the path between them and the daemons on them.
type Bench struct {
	Scenario Scenario
	Dir      string // working folder: daemons' folders, tool output

	NSA, NSB   *NS // initiator and responder, or what surrounds their guests
	Boxes      []*NS
	HostA      Host // where the initiator runs: NSA, or a guest in it
	HostB      Host
	dev        string  // the outer interface of a host
	A, B       *Daemon // nil where the scenario has none
	EndA, EndB End
	// Peer names the responder's software where that is not strongSwan.
	Peer string
	// InnerA and InnerB are addresses inside the tunnel.
	InnerA, InnerB string
	// OuterA is where the initiator sends from; OuterB is where it sends to.
	OuterA, OuterB string
	// OwnB is the responder's own address: behind its box where it has one,
	// else OuterB.
	OwnB string

	mu      sync.Mutex // daemons start side by side
	cleanup []func() error
}

// NewBench lays the network of a scenario and starts its daemons. The caller
// must Close it, also after an error: a non-nil Bench is always returned.
func NewBench(ctx context.Context, s Scenario, dir string) (*Bench, error) {
	b := &Bench{Scenario: s, Dir: dir}
	if os.Geteuid() != 0 {
		return b, need.ErrNotRoot
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return b, fmt.Errorf("folder of bench: %w", err)
	}
	// Paths go into the daemons' configuration.
	abs, err := filepath.Abs(dir)
	if err != nil {
		return b, fmt.Errorf("folder of bench: %w", err)
	}
	b.Dir = abs
	if err := b.lay(ctx); err != nil {
		return b, err
	}
	b.defaults()
	if s.Ends != nil {
		if err := s.Ends(&b.EndA, &b.EndB); err != nil {
			return b, err
		}
	}
	return b, b.startDaemons(ctx)
}

func (b *Bench) ns(ctx context.Context, label string) (*NS, error) {
	ns, err := NewNS(ctx, label)
	if err != nil {
		return nil, err
	}
	b.onClose(ns.Delete)
	return ns, nil
}

func (b *Bench) onClose(f func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cleanup = append(b.cleanup, f)
}

// Close ends everything that the bench began, last thing first.
func (b *Bench) Close() error {
	var errs []error
	for i := len(b.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, b.cleanup[i]())
	}
	b.cleanup = nil
	return errors.Join(errs...)
}

func (b *Bench) lay(ctx context.Context) error {
	var err error
	if b.NSA, err = b.ns(ctx, "a"); err != nil {
		return err
	}
	if b.NSB, err = b.ns(ctx, "b"); err != nil {
		return err
	}
	b.InnerA, b.InnerB = innerA4, innerB4
	if b.Scenario.IPv6 {
		b.InnerA, b.InnerB = innerA6, innerB6
	}
	b.HostA, b.HostB, b.dev = b.NSA, b.NSB, outerDev
	if b.Scenario.Guests {
		if err := b.bootGuests(ctx); err != nil {
			return err
		}
	}
	if err := Address(ctx, b.HostA, "lo", innerA4+"/32", innerA6+"/128"); err != nil {
		return err
	}
	if err := Address(ctx, b.HostB, "lo", innerB4+"/32", innerB6+"/128"); err != nil {
		return err
	}
	switch b.Scenario.NAT {
	case NATInitiator:
		return b.layOneBox(ctx)
	case NATBoth:
		return b.layTwoBoxes(ctx)
	}
	return b.layDirect(ctx)
}

// bootGuests puts a guest into the namespace of either end and makes the
// namespace a bridge between its card and the outer interface.
func (b *Bench) bootGuests(ctx context.Context) error {
	if err := EnsureGuests(ctx); err != nil {
		return err
	}
	boot := func(ns *NS, name string) (*Guest, error) {
		g, err := bootGuest(ctx, ns, name, filepath.Join(b.Dir, name))
		if err != nil {
			return nil, err
		}
		b.onClose(g.Stop)
		return g, nil
	}
	ga, err := boot(b.NSA, "a")
	if err != nil {
		return err
	}
	gb, err := boot(b.NSB, "b")
	if err != nil {
		return err
	}
	b.HostA, b.HostB, b.dev = ga, gb, GuestDev
	return errors.Join(ga.Ready(ctx), gb.Ready(ctx))
}

// join lays a veth pair from an end to a neighbour; in front of a guest it
// goes into the bridge.
func (b *Bench) join(ctx context.Context, end *NS, neighbour *NS, dev string) error {
	if err := Join(ctx, end, outerDev, neighbour, dev); err != nil {
		return err
	}
	if !b.Scenario.Guests {
		return nil
	}
	if err := end.IP(ctx, "link", "set", outerDev, "master", GuestBridge); err != nil {
		return err
	}
	if neighbour == b.NSA || neighbour == b.NSB {
		return neighbour.IP(ctx, "link", "set", dev, "master", GuestBridge)
	}
	return nil
}

func (b *Bench) layDirect(ctx context.Context) error {
	var err error
	if b.Scenario.Wire != nil {
		err = b.layWire(ctx)
	} else {
		err = b.join(ctx, b.NSA, b.NSB, outerDev)
	}
	if err != nil {
		return err
	}
	b.OuterA, b.OuterB = outerA4, outerB4
	bits := "/24"
	if b.Scenario.IPv6 {
		b.OuterA, b.OuterB, bits = outerA6, outerB6, "/64"
	}
	b.OwnB = b.OuterB
	if err := Address(ctx, b.HostA, b.dev, b.OuterA+bits); err != nil {
		return err
	}
	if err := Address(ctx, b.HostB, b.dev, b.OuterB+bits); err != nil {
		return err
	}
	// strongSwan's user-space ESP needs a route that it can look the peer's
	// inner network up in.
	if err := Route(ctx, b.HostA, b.OuterB); err != nil {
		return err
	}
	return Route(ctx, b.HostB, b.OuterA)
}

// masquerade is the ruleset of a NAT box whose outside is interface "out". It
// gives every flow a port of its own, as most boxes with many clients do.
const masquerade = `table ip nat {
  chain post {
    type nat hook postrouting priority srcnat
    oifname "out" ip protocol udp masquerade to :20000-59999 random
    oifname "out" masquerade
  }
}
`

// layOneBox puts a NAT box between the ends: a --- in|box|out --- b.
func (b *Bench) layOneBox(ctx context.Context) error {
	box, err := b.box(ctx, b.NSA)
	if err != nil {
		return err
	}
	if err := b.join(ctx, b.NSB, box, "out"); err != nil {
		return err
	}
	inside, gateway := privateA4, "10.77.0.1"
	if b.Scenario.PublicA {
		inside, gateway = publicA4, "198.51.100.1"
	}
	b.OuterA, b.OuterB, b.OwnB = inside, outerB4, outerB4
	err = addressAll(ctx, []place{
		{b.HostA, b.dev, inside}, {box, "in", gateway}, {box, "out", outerA4}, {b.HostB, b.dev, outerB4},
	})
	if err != nil {
		return err
	}
	if err := Route(ctx, b.HostA, gateway); err != nil {
		return err
	}
	if err := Route(ctx, b.HostB, outerA4); err != nil {
		return err
	}
	return box.NFT(ctx, masquerade)
}

// place is an address on an interface.
type place struct {
	host      Host
	dev, addr string
}

func addressAll(ctx context.Context, places []place) error {
	for _, p := range places {
		if err := Address(ctx, p.host, p.dev, p.addr+"/24"); err != nil {
			return err
		}
	}
	return nil
}

// layTwoBoxes puts a NAT box before each end:
// a --- in|box|out --- out|box|in --- b.
func (b *Bench) layTwoBoxes(ctx context.Context) error {
	boxA, err := b.box(ctx, b.NSA)
	if err != nil {
		return err
	}
	boxB, err := b.box(ctx, b.NSB)
	if err != nil {
		return err
	}
	if err := Join(ctx, boxA, "out", boxB, "out"); err != nil {
		return err
	}
	b.OuterA, b.OuterB, b.OwnB = privateA4, outerB4, privateB4
	err = addressAll(ctx, []place{
		{b.HostA, b.dev, privateA4}, {boxA, "in", "10.77.0.1"}, {boxA, "out", outerA4},
		{boxB, "out", outerB4}, {boxB, "in", "10.88.0.1"}, {b.HostB, b.dev, privateB4},
	})
	if err != nil {
		return err
	}
	if err := Route(ctx, b.HostA, "10.77.0.1"); err != nil {
		return err
	}
	if err := Route(ctx, b.HostB, "10.88.0.1"); err != nil {
		return err
	}
	if err := boxA.NFT(ctx, masquerade); err != nil {
		return err
	}
	return boxB.NFT(ctx, masquerade+`table ip forward_in {
  chain pre {
    type nat hook prerouting priority dstnat
    iifname "out" udp dport { 500, 4500 } dnat to `+privateB4+`
  }
}
`)
}

// box makes a forwarding namespace whose interface "in" is joined to an end.
func (b *Bench) box(ctx context.Context, end *NS) (*NS, error) {
	box, err := b.ns(ctx, "nat")
	if err != nil {
		return nil, err
	}
	b.Boxes = append(b.Boxes, box)
	if _, err := box.Exec(ctx, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"); err != nil {
		return nil, err
	}
	return box, b.join(ctx, end, box, "in")
}

// Default algorithms, and the passphrase of every PSK scenario.
const (
	defaultIKE = "aes256gcm16-prfsha256-ecp256"
	defaultESP = "aes256gcm16"
	labPSK     = `"lab only: never use this"`
)

// PSK is the key of Ends, without its quotes.
var PSK = strings.Trim(labPSK, `"`)

// Ends gives the two ends of a tunnel as the lab has it unless said otherwise:
// preshared key, one child. The addresses are outer ones, the selectors
// prefixes; a is the initiator, and r takes whoever comes.
func Ends(outerA, outerR, innerA, innerR string) (a, r End) {
	psk := []string{"ike-lab {\nsecret = " + labPSK + "\n}"}
	alice, bob := Auth{Method: "psk", ID: "initiator.lab"}, Auth{Method: "psk", ID: "responder.lab"}
	a = End{Version: "2", LocalAddrs: outerA, RemoteAddrs: outerR, Proposals: defaultIKE, ESP: defaultESP,
		LocalTS: innerA, RemoteTS: innerR, Local: alice, Remote: bob, Secrets: psk}
	r = End{Version: "2", Proposals: defaultIKE, ESP: defaultESP,
		LocalTS: innerR, RemoteTS: innerA, Local: bob, Remote: alice, Secrets: psk}
	return a, r
}

func (b *Bench) defaults() {
	bits := "/32"
	if b.Scenario.IPv6 {
		bits = "/128"
	}
	b.EndA, b.EndB = Ends(b.OuterA, b.OuterB, b.InnerA+bits, b.InnerB+bits)
	// A peer on a busy machine may be slow: nothing is to be sent twice for that,
	// and nobody is to be given up.
	tries := []string{"retransmit_timeout = 15"}
	if b.Scenario.Quick {
		tries = []string{"retransmit_timeout = 0.4", "retransmit_base = 1.8", "retransmit_tries = 3"}
	}
	b.EndA.Daemon.Options = append(b.EndA.Daemon.Options, tries...)
	b.EndB.Daemon.Options = append(b.EndB.Daemon.Options, tries...)
	b.EndA.Daemon.KernelESP = b.Scenario.Guests
	b.EndB.Daemon.KernelESP = b.Scenario.Guests
}

// startDaemons starts both at once.
func (b *Bench) startDaemons(ctx context.Context) error {
	done := make(chan error, 1)
	var a, r *Daemon
	go func() {
		var err error
		a, err = b.daemon(ctx, b.HostA, "a", &b.EndA)
		done <- err
	}()
	r, errB := b.daemon(ctx, b.HostB, "b", &b.EndB)
	errA := <-done
	b.A, b.B = a, r
	return errors.Join(errA, errB)
}

func (b *Bench) daemon(ctx context.Context, host Host, name string, end *End) (*Daemon, error) {
	if end.Absent {
		return nil, nil
	}
	d, err := NewDaemon(host, filepath.Join(b.Dir, name), end.Daemon)
	if err != nil {
		return nil, err
	}
	if !b.Scenario.Guests { // a guest takes its daemons with it
		b.onClose(d.Close)
	}
	if err := end.WriteCredentials(d.Dir); err != nil {
		return d, err
	}
	if err := d.Start(ctx); err != nil {
		return d, err
	}
	return d, d.Load(ctx, end.SwanctlConf())
}

// WriteCredentials writes the end's certificates and keys into the folders
// x509, x509ca and private of dir.
func (e End) WriteCredentials(dir string) error {
	for name, pem := range e.certPEM {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("folder of credentials: %w", err)
		}
		if err := os.WriteFile(path, pem, 0o600); err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
	}
	return nil
}

// Initiate has the initiator bring its child up and gives swanctl's verdict.
func (b *Bench) Initiate(ctx context.Context) (string, error) {
	return b.A.Swanctl(ctx, "--initiate", "--child", "net", "--timeout", "60")
}

// MustFail turns the outcome of something that has to fail around.
func MustFail(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%s succeeded, against the plan of the scenario", what)
	}
	return nil
}

// Ping sends count echo requests from an end through the tunnel. It returns
// how many were answered.
func Ping(ctx context.Context, from Host, src, dst string, count int, every time.Duration) (int, error) {
	out, err := from.Exec(ctx, "ping", "-n", "-c", strconv.Itoa(count),
		"-i", strconv.FormatFloat(every.Seconds(), 'f', 3, 64), "-W", "1", "-I", src, dst)
	i := strings.Index(out, " packets transmitted, ")
	if i < 0 {
		return 0, fmt.Errorf("ping printed no summary: %w", err)
	}
	var answered int
	if _, scanErr := fmt.Sscanf(out[i:], " packets transmitted, %d received", &answered); scanErr != nil {
		return 0, fmt.Errorf("summary of ping: %w", scanErr)
	}
	return answered, nil
}

// BringUpAndPing is what most scenarios do: the tunnel comes up and carries
// four pings and their answers.
func BringUpAndPing(ctx context.Context, b *Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	return b.PingThrough(ctx, 4)
}

// pingPatience is for how long, in seconds, an answer may be under way on a
// busy machine.
const pingPatience = "20"

// PingThrough sends pings through the tunnel, one after another, and wants every
// one answered, however late.
func (b *Bench) PingThrough(ctx context.Context, count int) error {
	return PingEach(ctx, b.HostA, b.InnerA, b.InnerB, count)
}

// PingEach sends echo requests from an end through a tunnel, one after another,
// and wants every one answered, however late. Each has a ping of its own: a ping
// that has got an answer waits for the others little longer than that one took.
func PingEach(ctx context.Context, from Host, src, dst string, count int) error {
	for n := range count {
		if out, err := from.Exec(ctx, "ping", "-n", "-q", "-c", "1", "-W", pingPatience, "-I", src, dst); err != nil {
			return fmt.Errorf("ping %d of %d: %w\n%s", n+1, count, err, out)
		}
	}
	return nil
}
