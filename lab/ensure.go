package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// Packages lists the Debian packages that the lab needs installed.
func Packages() []string {
	return []string{"charon-systemd", "strongswan-swanctl", "strongswan-pki", "libcharon-extra-plugins",
		"libcharon-extauth-plugins", "libstrongswan-extra-plugins", "libstrongswan-standard-plugins",
		"tshark", "tcpdump", "nftables", "iproute2", "iputils-ping", "ethtool", "iperf3"}
}

// programs are what those packages bring, one a package that the lab calls.
var programs = []string{"charon-systemd", "swanctl", "pki", "tshark", "tcpdump", "nft", "ip", "ping", "ethtool", "iperf3"}

// Missing names the programs of the lab that this machine does not have.
func Missing() []string {
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if _, err := os.Stat("/usr/sbin/" + p); err != nil {
			missing = append(missing, p)
		}
	}
	return missing
}

// Ensure installs what the lab needs where something is missing. It needs root
// and apt for that. The packages' own services are kept from starting.
func Ensure(ctx context.Context) error {
	missing := Missing()
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: %s (not root, cannot install them)", need.ErrMissing, strings.Join(missing, " "))
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%w: %s (no apt-get, cannot install them)", need.ErrMissing, strings.Join(missing, " "))
	}
	// Debian's maintainer scripts ask this program before they start a
	// service; 101 means no. One that is there already has its reasons.
	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return fmt.Errorf("keeping services from starting: %w", err)
		}
		defer func() { _ = os.Remove(policy) }() // at worst services stay off
	}
	if err := apt(ctx, "", "update", "-q"); err != nil {
		return err
	}
	return apt(ctx, "", append([]string{"install", "-q", "-y", "--no-install-recommends"}, Packages()...)...)
}

// apt runs apt-get in a folder without asking anybody anything.
func apt(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, lastLine(string(out)))
	}
	return nil
}

// GuestCache is where the packages of guests are kept, downloaded and
// unpacked, never installed.
const GuestCache = "/var/cache/cvlanctl-lab"

// guestPackages are unpacked side by side: a second kernel, the tools that
// load its modules, and the daemons that cannot be installed beside
// strongSwan, with their libraries.
var guestPackages = map[string][]string{
	"uml":       {"user-mode-linux", "kmod", "libkmod2"},
	"libreswan": {"libreswan", "libnss3", "libnspr4", "libnss3-tools", "libsqlite3-0", "libldns3", "libunbound8", "libevent-core-2.1-7", "libevent-2.1-7", "libevent-pthreads-2.1-7", "libcurl3-nss"},
	"openiked":  {"openiked", "libevent-core-2.1-7", "libevent-2.1-7"},
}

// EnsureGuests downloads and unpacks what guests need, once.
func EnsureGuests(ctx context.Context) error {
	for folder, packages := range guestPackages {
		if err := unpack(ctx, filepath.Join(GuestCache, folder), packages); err != nil {
			return err
		}
	}
	return prepareModules(ctx)
}

// unpack fills a folder from packages. The folder appears only when it is
// complete.
func unpack(ctx context.Context, folder string, packages []string) (err error) {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%w: %s (no apt-get, cannot download them)", need.ErrMissing, strings.Join(packages, " "))
	}
	if err := os.MkdirAll(GuestCache, 0o755); err != nil {
		return fmt.Errorf("cache of guests: %w", err)
	}
	work, err := os.MkdirTemp(GuestCache, "new-")
	if err != nil {
		return fmt.Errorf("cache of guests: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	debs, root := filepath.Join(work, "deb"), filepath.Join(work, "root")
	for _, d := range []string{debs, root} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return fmt.Errorf("cache of guests: %w", err)
		}
	}
	if err := apt(ctx, debs, append([]string{"download", "-q"}, packages...)...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return fmt.Errorf("cache of guests: %w", err)
	}
	for _, f := range files {
		if _, err := command(ctx, "dpkg", "-x", f, root); err != nil {
			return err
		}
	}
	return moveIntoPlace(root, folder)
}
