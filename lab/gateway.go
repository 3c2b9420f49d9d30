package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Software is the daemon that a gateway runs.
type Software string

// The daemons that run in a guest.
const (
	StrongSwan Software = "strongSwan" // with ESP by the guest's kernel
	Libreswan  Software = "Libreswan"
	OpenIKED   Software = "OpenIKED"
)

// GatewayConnection is one connection as a gateway is to have it, told from
// its side and in swanctl's words whatever the gateway's own are. The zero
// value of a field leaves the matter to the gateway.
type GatewayConnection struct {
	Name string // of the connection; its child is "net"
	// Local and Remote are outer addresses; Remote "" is anybody.
	Local, Remote string
	// LocalID and RemoteID are a domain name, an e-mail address, an IP address,
	// or a distinguished name, "C=CH, O=lab, CN=left".
	LocalID, RemoteID string
	// PSK is the key that both sides have; with Identity nil the gateway proves
	// itself by it.
	PSK string
	// Identity is the gateway's certificate with its key and issuers, and Root
	// the authority that it believes, the root of Identity where nil.
	Identity *Identity
	Root     *Identity
	// SignBy is how the gateway signs, in its own words: "rsa-sha1" for
	// libreswan's authby, "rfc7427" for iked.conf, "rsa/pss-sha512" for
	// swanctl.conf.
	SignBy string
	// LocalTS and RemoteTS are prefixes. Where libreswan is given several it has
	// a child for each pair; the others have one child for all.
	LocalTS, RemoteTS []string
	IKE, ESP          []string // proposals
	// Start has the gateway begin by itself when it is loaded.
	Start bool
	// RekeyIKE and RekeyChild are how long after it was made an SA is replaced,
	// at most: a daemon may make it a little earlier.
	RekeyIKE, RekeyChild time.Duration
	// DPDDelay is how long after the peer was last heard a liveness check begins;
	// DPDTimeout how long the peer may be silent, where that is a setting.
	DPDDelay, DPDTimeout time.Duration
	ForceEncap           bool // UDP encapsulation without a NAT
	Transport            bool // transport mode
	NoFragmentation      bool // IKE fragmentation is not offered
	// Lines are further settings of the connection in the gateway's own words.
	Lines []string
	// ChildLines are those of the child, where the gateway has a section for it.
	ChildLines []string
}

// ErrNoOrder is returned, wrapped, where a gateway's software has no such order
// or setting; the error says which.
var ErrNoOrder = errors.New("the software has no such order")

// Gateway is a daemon in a guest. All orders name a connection that was
// loaded. A gateway is for one caller at a time.
type Gateway interface {
	// Software and Version say what runs: "Libreswan", "4.10".
	Software() Software
	Version() string
	// Start starts the daemon, or starts it anew after Stop or Kill, with the
	// connections that were loaded last and without any SA.
	Start(ctx context.Context) error
	// Load gives the gateway these connections and no others. SAs of connections
	// that go may stay or go, as the software has it.
	Load(ctx context.Context, list ...GatewayConnection) error
	// Initiate begins the connection with its child. An error may also be the
	// peer's refusal.
	Initiate(ctx context.Context, name string) error
	// Terminate deletes the IKE SA with its children, TerminateChild the child
	// alone.
	Terminate(ctx context.Context, name string) error
	TerminateChild(ctx context.Context, name string) error
	// RekeyIKE and RekeyChild replace an SA now.
	RekeyIKE(ctx context.Context, name string) error
	RekeyChild(ctx context.Context, name string) error
	// Established counts the connection's IKE SAs that stand.
	Established(ctx context.Context, name string) (int, error)
	// Status is the software's own account of its SAs, as text.
	Status(ctx context.Context) (string, error)
	// Log is the path of the daemon's log on this machine.
	Log() string
	// Stop ends the daemon in order, Kill as a crash would: nothing is sent.
	Stop(ctx context.Context) error
	Kill(ctx context.Context) error
}

// NewGateway prepares a daemon in a guest; Start starts it. A guest may have
// several gateways, of which one runs at a time.
func NewGateway(ctx context.Context, g *Guest, software Software) (Gateway, error) {
	switch software {
	case StrongSwan:
		return newCharonGateway(ctx, g)
	case Libreswan:
		return newLibreswan(ctx, g)
	case OpenIKED:
		return newOpenIKED(ctx, g)
	}
	return nil, fmt.Errorf("no gateway runs %q", software)
}

// unpacked copies the packages of a cache folder into a guest, over the root
// that it shares with us. Debian's package trees have directories where a root
// may have symbolic links.
func unpacked(ctx context.Context, g *Guest, folder string) error {
	_, err := g.shell(ctx, "tar -C "+filepath.Join(GuestCache, folder)+" -cf - . | tar -C / -xf - --keep-directory-symlink && ldconfig")
	return err
}

// guestScript is work for a guest's shell that is done in one go: each order to
// a guest takes a moment.
type guestScript struct {
	guest *Guest
	lines []string
	files int
	err   error
}

// add appends a line; a line that fails ends the script.
func (s *guestScript) add(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// file writes a file of that mode into the guest.
func (s *guestScript) file(path, mode string, content []byte) {
	s.files++
	name := fmt.Sprintf("file%d", s.files)
	if err := os.WriteFile(filepath.Join(s.guest.Dir, name), content, 0o600); err != nil {
		s.err = errors.Join(s.err, fmt.Errorf("file for guest: %w", err))
	}
	s.add("install -D -m %s /ctl/%s '%s'", mode, name, path)
}

// run gives what the script printed; an error has it too.
func (s *guestScript) run(ctx context.Context) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	out, err := s.guest.shell(ctx, "set -e\n"+strings.Join(s.lines, "\n"))
	if err != nil {
		return out, fmt.Errorf("%w: %s", err, strings.TrimSpace(out))
	}
	return out, nil
}

// forget removes what a daemon that was killed left in the guest's kernel.
const forget = "ip xfrm state flush; ip xfrm policy flush"

// waitGone is the line of shell that waits until no process has a name.
func waitGone(name string) string {
	return fmt.Sprintf("timeout %d sh -c 'while pidof %s > /dev/null; do sleep 0.05; done'", int(guestBoot/time.Second), name)
}

// root is the authority that the gateway believes; nil where it uses a shared
// key only.
func (c *GatewayConnection) root() *Identity {
	if c.Root == nil && c.Identity != nil {
		return c.Identity.root()
	}
	return c.Root
}

// byKey says that the peer proves itself by the shared key, bySignature that
// the gateway does not.
func (c *GatewayConnection) byKey() bool { return c.root() == nil }

// established counts what a pattern finds in the status of a loaded connection.
func established(ctx context.Context, g Gateway, pattern string) (int, error) {
	status, err := g.Status(ctx)
	if err != nil {
		return 0, err
	}
	return len(regexp.MustCompile(pattern).FindAllString(status, -1)), nil
}

// isAddress says whether an identity is an IP address.
func isAddress(id string) bool {
	_, err := netip.ParseAddr(id)
	return err == nil
}

// seconds writes a duration in whole seconds, at least one.
func seconds(d time.Duration) int { return max(1, int(d/time.Second)) }

// find gives the loaded connection of that name.
func find(list []GatewayConnection, name string) (*GatewayConnection, error) {
	for i := range list {
		if list[i].Name == name {
			return &list[i], nil
		}
	}
	return nil, fmt.Errorf("gateway has no connection %q", name)
}
