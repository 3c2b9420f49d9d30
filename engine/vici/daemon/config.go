// Package daemon starts a strongSwan charon of one's own and stops it again:
// with a private folder for its configuration, socket and log, beside nothing
// else that runs.
//
// Contract: Start refuses where an IKE daemon is there already. A Daemon is
// ended by its own process id, which is checked against its start time first;
// Stop leaves no file and no process behind. The daemon outlives the process
// that started it; Attach finds it again by its folder.
package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Config says how a charon is to run. The zero value is a usual daemon in a
// temporary folder.
type Config struct {
	// Dir is the private folder; it is made, and removed by Stop. "" means one
	// of a random name in the system's temporary folder.
	Dir string
	// Binary is the daemon's program; "" means the one that Find finds.
	Binary string
	// Level is the log level of all groups, -1 to 4; 0 means the usual, 1. From
	// 4 on the log holds keys.
	Level int
	// UserESP has the daemon do ESP itself, for kernels that have none.
	UserESP bool
	// Plugins are loaded instead of the usual ones, in this order.
	Plugins []string
	// Settings are further lines of the daemon's section of strongswan.conf.
	Settings []string
	// Through is put before the program: "ip netns exec NAME". The program
	// must be replaced by the daemon, which keeps its process id.
	Through []string
}

// The names and places of charon, the preferred first.
var programs = []string{"charon-systemd", "/usr/sbin/charon-systemd", "/usr/lib/ipsec/charon", "/usr/libexec/ipsec/charon", "/usr/libexec/strongswan/charon", "/usr/lib/strongswan/charon"}

// ErrNotInstalled says that there is no charon on this machine.
var ErrNotInstalled = errors.New("no charon is installed")

// Find looks for charon-systemd or charon.
func Find() (string, error) {
	for _, p := range programs {
		if path, err := exec.LookPath(p); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w (looked for %s); on Debian: apt-get install charon-systemd strongswan-swanctl", ErrNotInstalled, strings.Join(programs, " "))
}

// plugins are loaded unless the caller wants others. User-space ESP goes before
// the kernel's, which still manages addresses and routes.
var plugins = strings.Fields("pem pkcs1 pkcs8 x509 revocation constraints pubkey openssl random nonce aes sha1 sha2 hmac kdf gcm ccm ctr chapoly " +
	"curve25519 gmp curl kernel-libipsec kernel-netlink socket-default vici eap-identity eap-mschapv2 eap-tls md4 md5 updown attr counters")

// The files of a private folder.
const (
	confFile   = "strongswan.conf"
	socketFile = "charon.vici"
	logFile    = "charon.log"
	outputFile = "output.log"
	stateFile  = "daemon.json"
)

// maxSocketPath is how long the path of a UNIX socket can be, in octets.
const maxSocketPath = 107

// write makes the configuration of a daemon in its folder.
func (c *Config) write() error {
	section, level := filepath.Base(c.Binary), min(max(c.Level, -1), 4)
	if level == 0 {
		level = 1
	}
	load := c.Plugins
	if load == nil {
		load = slices.Clone(plugins)
		if !c.UserESP {
			load = slices.DeleteFunc(load, func(p string) bool { return p == "kernel-libipsec" })
		}
	}
	for _, text := range slices.Concat(load, []string{c.Dir, section}) {
		if strings.ContainsAny(text, "\n{}\"#") {
			return fmt.Errorf("daemon: %q cannot stand in strongswan.conf", text)
		}
	}
	conf := fmt.Sprintf(`%s {
  load_modular = no
  load = %s
  piddir = %s
  plugins {
    vici {
      socket = unix://%s
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
  }
  filelog {
    private {
      path = %s
      flush_line = yes
      ike_name = yes
      time_format = %%s
      default = %d
    }
  }
  syslog {
    daemon {
      default = -1
    }
    auth {
      default = -1
    }
  }
  journal {
    default = -1
  }
  %s
}
`, section, strings.Join(load, " "), c.Dir, filepath.Join(c.Dir, socketFile), filepath.Join(c.Dir, logFile), level, strings.Join(c.Settings, "\n  "))
	if err := os.WriteFile(filepath.Join(c.Dir, confFile), []byte(conf), 0o600); err != nil {
		return fmt.Errorf("configuration of daemon: %w", err)
	}
	return nil
}
