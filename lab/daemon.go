package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/capture/keylog/charonlog"
)

// charonPlugins is the load order: user-space ESP goes before the kernel's,
// which still manages addresses and routes.
const charonPlugins = "pem pkcs1 pkcs8 x509 revocation constraints pubkey openssl random nonce aes sha1 sha2 hmac kdf " +
	"gcm ccm ctr chapoly curve25519 gmp %s socket-default vici eap-identity eap-mschapv2 eap-tls md5 updown attr counters"

// DaemonConfig says how a charon is to run.
type DaemonConfig struct {
	// Options are lines of section charon-systemd of strongswan.conf.
	Options []string
	// KernelESP leaves ESP to the kernel, which must have it. Otherwise the
	// daemon does ESP itself, always inside UDP, and claims a NAT for that.
	KernelESP bool
	// Roams lets the daemon tell its peers of every change of the host's
	// addresses and routes. A lab still settles when the first SA is up, so
	// that the exchange for it would come in some runs and not in others.
	Roams bool
	// LogLevels are further lines of the filelog section, for example "enc = 3".
	LogLevels []string
	// VICI is where the daemon is spoken to, "tcp://192.0.2.1:4502"; "" is a Unix
	// socket of its own, which programs on another kernel do not reach.
	VICI string
}

// Daemon is one strongSwan charon in a namespace.
type Daemon struct {
	Host Host
	// Dir is the daemon's folder on this machine: configuration, log, socket.
	Dir string

	config  DaemonConfig
	process Running
	// run is where the daemon keeps its socket: a short path, because the
	// kernel takes 107 octets and test folders have long names.
	run string
}

// Host is where a daemon runs: a namespace, or a guest with its own kernel.
type Host interface {
	// Exec runs a program there and gives what it printed.
	Exec(ctx context.Context, argv ...string) (string, error)
	// Launch starts a program there; its output goes to a file in dir.
	Launch(ctx context.Context, env []string, dir string, argv ...string) (Running, error)
	// Path is how a file of this machine is called there.
	Path(file string) string
}

// Running is a program at work on a Host.
type Running interface {
	Stop() error // ask, then insist
	Kill() error // at once, as a crash would
}

// Launch starts a program in the namespace; its output goes to dir/output.log.
func (ns *NS) Launch(_ context.Context, env []string, dir string, argv ...string) (Running, error) {
	p, err := ns.Spawn(env, filepath.Join(dir, "output.log"), argv...)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Path is the name itself: namespaces share the file system.
func (ns *NS) Path(file string) string { return file }

// NewDaemon writes the configuration of a daemon into dir. The caller must
// Close it.
func NewDaemon(host Host, dir string, config DaemonConfig) (*Daemon, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of daemon: %w", err)
	}
	d := &Daemon{Host: host, Dir: dir, config: config}
	if d.inGuest() {
		// A socket works neither across kernels nor on the file system that a
		// guest shares with us.
		d.run = "/run"
	} else {
		run, err := os.MkdirTemp("", "cvl-")
		if err != nil {
			return nil, fmt.Errorf("folder for socket of daemon: %w", err)
		}
		d.run = run
	}
	kernel := "kernel-libipsec kernel-netlink"
	if config.KernelESP {
		kernel = "kernel-netlink"
	}
	roams := "no"
	if config.Roams {
		roams = "yes"
	}
	in := host.Path(dir)
	conf := fmt.Sprintf(`charon-systemd {
  load_modular = no
  load = %s
  piddir = %s
  plugins {
    vici {
      socket = %s
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
    kernel-netlink {
      roam_events = %s
    }
  }
  filelog {
    log {
      path = %s/charon.log
      flush_line = yes
      ike_name = yes
      time_format = %%s
      default = 1
      ike = 4
      chd = 4
      mgr = 2
      enc = 1
      %s
    }
  }
  journal {
    default = -1
  }
  %s
}
`, fmt.Sprintf(charonPlugins, kernel), d.run, d.uri(), roams, in, strings.Join(config.LogLevels, "\n      "), strings.Join(config.Options, "\n  "))
	if err := os.WriteFile(filepath.Join(dir, "strongswan.conf"), []byte(conf), 0o600); err != nil {
		return nil, fmt.Errorf("configuration of daemon: %w", err)
	}
	return d, nil
}

// Adopt gives a daemon that somebody else runs on a host and that serves VICI
// at the Socket of the result, as our own engine does: swanctl drives it, and
// Stop and Kill leave it alone. It has no log. The caller must Close it.
func Adopt(host Host, dir string) (*Daemon, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of daemon: %w", err)
	}
	run, err := os.MkdirTemp("", "cvl-")
	if err != nil {
		return nil, fmt.Errorf("folder for socket of daemon: %w", err)
	}
	return &Daemon{Host: host, Dir: dir, run: run}, nil
}

// Start runs the daemon and waits until it answers on its socket.
func (d *Daemon) Start(ctx context.Context) error {
	in := d.Host.Path(d.Dir)
	p, err := d.Host.Launch(ctx, []string{"STRONGSWAN_CONF=" + in + "/strongswan.conf"}, d.Dir, "/usr/sbin/charon-systemd")
	if err != nil {
		return err
	}
	d.process = p
	if err := Eventually(ctx, time.Minute, "charon in "+d.Dir+" to answer", func() bool { return d.answers() || d.ended() }); err != nil {
		return fmt.Errorf("%w\n%s", err, d.Tail())
	}
	if d.ended() {
		return fmt.Errorf("charon in %s has ended\n%s", d.Dir, d.Tail())
	}
	return nil
}

// ended says whether the daemon was started in a namespace and has ended.
func (d *Daemon) ended() bool {
	p, ok := d.process.(*Process)
	return ok && p.ended()
}

// answers says whether the daemon takes commands.
func (d *Daemon) answers() bool {
	if d.inGuest() {
		_, err := d.Swanctl(context.Background(), "--stats")
		return err == nil
	}
	c, err := net.Dial("unix", d.Socket())
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// inGuest says whether the daemon runs on another kernel than this process.
func (d *Daemon) inGuest() bool { return d.Host.Path(d.Dir) != d.Dir }

func (d *Daemon) uri() string {
	if d.config.VICI != "" {
		return d.config.VICI
	}
	return "unix://" + d.Socket()
}

// Socket is the path of the daemon's VICI socket, where the daemon runs.
func (d *Daemon) Socket() string { return d.run + "/charon.vici" }

// LogPath is the path of the daemon's log.
func (d *Daemon) LogPath() string { return filepath.Join(d.Dir, "charon.log") }

// Swanctl runs one swanctl command against the daemon.
func (d *Daemon) Swanctl(ctx context.Context, args ...string) (string, error) {
	argv := append([]string{"swanctl"}, args...)
	argv = append(argv, "--uri", d.uri())
	return d.Host.Exec(ctx, argv...)
}

// Load writes a swanctl.conf beside the daemon and loads it. Certificates and
// keys are looked for in the folders x509, x509ca and private of Dir.
func (d *Daemon) Load(ctx context.Context, conf string) error {
	for _, sub := range []string{"x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "private", "rsa", "ecdsa", "bliss", "pkcs8", "pkcs12"} {
		if err := os.MkdirAll(filepath.Join(d.Dir, sub), 0o755); err != nil {
			return fmt.Errorf("folder of daemon: %w", err)
		}
	}
	path := filepath.Join(d.Dir, "swanctl.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return fmt.Errorf("connections of daemon: %w", err)
	}
	// --clear: certificates that were loaded before are forgotten too.
	_, err := d.Swanctl(ctx, "--load-all", "--clear", "--file", d.Host.Path(path))
	return err
}

// Stop ends the daemon in order: its SAs are deleted on the wire. It is no
// error to stop a daemon that does not run.
func (d *Daemon) Stop() error {
	if d.process == nil {
		return nil
	}
	return d.process.Stop()
}

// Close stops the daemon and removes its socket; its folder Dir stays.
func (d *Daemon) Close() error {
	err := d.Stop()
	if d.inGuest() {
		return err
	}
	return errors.Join(err, os.RemoveAll(d.run))
}

// Kill ends the daemon as a crash would: nothing is sent.
func (d *Daemon) Kill() error {
	if d.process == nil {
		return nil
	}
	return d.process.Kill()
}

// PID is the process id of a daemon that runs in a namespace; 0 for none.
func (d *Daemon) PID() (int, error) {
	if d == nil || d.process == nil {
		return 0, nil
	}
	p, ok := d.process.(*Process)
	if !ok {
		return 0, fmt.Errorf("the daemon of %s runs on another kernel", d.Dir)
	}
	return p.PID(), nil
}

// LogHas says whether the daemon's log holds a text.
func (d *Daemon) LogHas(text string) bool {
	log, err := os.ReadFile(d.LogPath())
	return err == nil && strings.Contains(string(log), text)
}

// Keys gives the keys that the daemon's log tells.
func (d *Daemon) Keys() (charonlog.Keys, error) {
	f, err := os.Open(d.LogPath())
	if err != nil {
		return charonlog.Keys{}, fmt.Errorf("log of daemon: %w", err)
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	return charonlog.Parse(f)
}

var versionRE = regexp.MustCompile(`strongSwan (?:swanctl )?v?(\d[\w.]*)`)

// StrongSwanVersion gives the version of the installed strongSwan.
func StrongSwanVersion(ctx context.Context) (string, error) {
	// swanctl exits with an error when it is only asked for its usage.
	out, err := command(ctx, "swanctl", "--help")
	if m := versionRE.FindStringSubmatch(out); m != nil {
		return m[1], nil
	}
	if err == nil {
		err = fmt.Errorf("swanctl printed no version")
	}
	return "", err
}
