package lab

import (
	"context"
	_ "embed" // guest_init.sh
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Guest is a second kernel: User Mode Linux, an ordinary process, whose
// network card is a tap device in one of our namespaces. Unlike most kernels
// that the lab runs on, it has ESP. Its root is this machine's file system,
// read only under a layer in memory; its folder Dir is /ctl inside.
type Guest struct {
	Name string
	Dir  string

	process  *Process
	commands atomic.Int64
}

//go:embed guest_init.sh
var guestInit string

const (
	guestBoot   = 3 * time.Minute // on a busy machine; 5 s is usual
	guestOrder  = 2 * time.Minute // what a command may take, where its caller allows more
	guestMemory = "192M"
)

// modprobeScript loads modules of the guest's kernel. @CACHE@ as in
// guest_init.sh.
const modprobeScript = `#!/bin/sh
# A kernel asks anew for each algorithm that it lacks whenever a daemon registers
# for ESP: what was not there once is remembered, or each start takes seconds.
for name; do :; done
lacks="/run/lacks-$name"
[ -e "$lacks" ] && exit 1
# The kernel calls this without the environment of process 1.
for v in $(tr '\0' '\n' < /proc/1/environ | grep -E '^(GLIBC_TUNABLES|OPENSSL_ia32cap)='); do export "$v"; done
export LD_LIBRARY_PATH=@CACHE@/uml/usr/lib/x86_64-linux-gnu:@CACHE@/uml/lib/x86_64-linux-gnu
@CACHE@/modroot/kmod/modprobe -d @CACHE@/modroot "$@" && exit
: > "$lacks"
exit 1
`

// inCache names a file of the cache.
func inCache(parts ...string) string {
	return filepath.Join(append([]string{GuestCache}, parts...)...)
}

// prepareModules makes of the unpacked kernel package what a guest boots from:
// a module tree with its index, and the scripts that run inside.
func prepareModules(ctx context.Context) error {
	// Another process may do the same at the same time: each thing appears
	// complete, under a name of its own first.
	for name, text := range map[string]string{"init": guestInit, "modprobe": modprobeScript} {
		if err := installScript(name, strings.ReplaceAll(text, "@CACHE@", GuestCache)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(inCache("modroot")); err == nil {
		return nil
	}
	versions, err := os.ReadDir(inCache("uml/usr/lib/uml/modules"))
	if err != nil || len(versions) != 1 {
		return errors.Join(fmt.Errorf("guest kernel has modules of %d versions, want 1", len(versions)), err)
	}
	work, err := os.MkdirTemp(GuestCache, "new-")
	if err != nil {
		return fmt.Errorf("modules of the guest kernel: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // empty but for what a failure left
	root := filepath.Join(work, "modroot")
	if err := os.MkdirAll(filepath.Join(root, "lib/modules"), 0o755); err != nil {
		return fmt.Errorf("modules of the guest kernel: %w", err)
	}
	if _, err := command(ctx, "cp", "-a", inCache("uml/usr/lib/uml/modules", versions[0].Name()), filepath.Join(root, "lib/modules/")); err != nil {
		return err
	}
	// kmod is one program that does what it is called by.
	kmod := inCache("uml/usr/bin/kmod")
	if _, err := os.Stat(kmod); err != nil {
		kmod = inCache("uml/bin/kmod")
	}
	if err := os.Mkdir(filepath.Join(root, "kmod"), 0o755); err != nil {
		return fmt.Errorf("kmod of the guest: %w", err)
	}
	for _, tool := range []string{"modprobe", "depmod"} {
		if err := os.Symlink(kmod, filepath.Join(root, "kmod", tool)); err != nil {
			return fmt.Errorf("kmod of the guest: %w", err)
		}
	}
	libraries := inCache("uml/usr/lib/x86_64-linux-gnu") + ":" + inCache("uml/lib/x86_64-linux-gnu")
	if _, err := command(ctx, "env", "LD_LIBRARY_PATH="+libraries, filepath.Join(root, "kmod/depmod"), "-b", root, versions[0].Name()); err != nil {
		return err
	}
	return moveIntoPlace(root, inCache("modroot"))
}

// installScript puts a script into the cache.
func installScript(name, text string) error {
	f, err := os.CreateTemp(GuestCache, "new-")
	if err != nil {
		return fmt.Errorf("script of the guest: %w", err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o755), f.Close(), os.Rename(f.Name(), inCache(name)))
	if err != nil {
		return fmt.Errorf("script of the guest: %w", err)
	}
	return nil
}

// moveIntoPlace renames a folder; it is as good if somebody else was first.
func moveIntoPlace(from, to string) error {
	err := os.Rename(from, to)
	if err == nil {
		return nil
	}
	if _, statErr := os.Stat(to); statErr == nil {
		return nil
	}
	return fmt.Errorf("cache of guests: %w", err)
}

// StartGuest boots a guest whose network card is tap device tap in namespace
// ns. It returns before the guest is up: see Ready.
func StartGuest(ns *NS, tap, name, dir string) (*Guest, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of guest: %w", err)
	}
	umlDir := filepath.Join(dir, "uml")
	if err := os.MkdirAll(umlDir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of guest: %w", err)
	}
	argv := []string{filepath.Join(GuestCache, "uml/usr/bin/linux.uml"), "umid=" + ns.Name, "uml_dir=" + umlDir + "/", "mem=" + guestMemory,
		"root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "init=" + GuestCache + "/init",
		"vec0:transport=tap,ifname=" + tap + ",depth=128,gro=0", "con0=null,fd:1", "con=null", "ssl=null",
		"NAME=" + name, "CTL=" + dir}
	start := func() (*Process, error) {
		// The guest's memory is a file; on a disk it would be slow.
		return ns.Spawn([]string{"TMPDIR=/dev/shm"}, filepath.Join(dir, "console.log"), argv...)
	}
	var p *Process
	var err error
	if needsShield() {
		argv = append(argv, guestEnv...)
		p, err = shielded(start)
	} else {
		p, err = start()
	}
	if err != nil {
		return nil, err
	}
	go nudge(p)
	return &Guest{Name: name, Dir: dir, process: p}, nil
}

// Ready waits until the guest takes commands.
func (g *Guest) Ready(ctx context.Context) error {
	err := Eventually(ctx, guestBoot, "guest "+g.Name+" to boot", func() bool {
		_, err := os.Stat(filepath.Join(g.Dir, "ready"))
		return err == nil || g.process.ended()
	})
	if g.process.ended() {
		err = fmt.Errorf("guest %s has ended", g.Name)
	}
	if err != nil {
		// State and processor time tell one that hangs from one that is slow.
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.process.PID()))
		return fmt.Errorf("%w\nits process: %s\nits console: %s", err, strings.TrimSpace(string(stat)), tail(filepath.Join(g.Dir, "console.log")))
	}
	return nil
}

// Path is the name of a file of Dir inside the guest.
func (g *Guest) Path(file string) string {
	if rest, ok := strings.CutPrefix(file, g.Dir); ok {
		return "/ctl" + rest
	}
	return file
}

// Exec runs a program in the guest and gives what it printed.
func (g *Guest) Exec(ctx context.Context, argv ...string) (string, error) {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return g.shell(ctx, strings.Join(quoted, " "))
}

// shell runs a line of shell in the guest: a file goes in, its answer comes
// out.
func (g *Guest) shell(ctx context.Context, line string) (string, error) {
	base := filepath.Join(g.Dir, fmt.Sprintf("c%d", g.commands.Add(1)))
	if err := os.WriteFile(base+".new", []byte(line+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("command for guest: %w", err)
	}
	if err := os.Rename(base+".new", base+".cmd"); err != nil {
		return "", fmt.Errorf("command for guest: %w", err)
	}
	err := Eventually(ctx, guestOrder, "guest "+g.Name+" to run "+line, func() bool {
		_, err := os.Stat(base + ".rc")
		return err == nil
	})
	out, readErr := os.ReadFile(base + ".out")
	if err := errors.Join(err, readErr); err != nil {
		return string(out), err
	}
	rc, err := os.ReadFile(base + ".rc")
	if err != nil {
		return string(out), fmt.Errorf("answer of guest: %w", err)
	}
	for _, suffix := range []string{".run", ".out", ".rc"} {
		if err := removeIfThere(base + suffix); err != nil {
			return string(out), err
		}
	}
	if status := strings.TrimSpace(string(rc)); status != "0" {
		return string(out), fmt.Errorf("in guest %s: %s: exit status %s: %s", g.Name, line, status, lastLine(string(out)))
	}
	return string(out), nil
}

// guestProcess is a program that runs in a guest.
type guestProcess struct {
	guest *Guest
	pid   int
}

// Launch starts a program in the guest; its output goes to output.log in dir.
func (g *Guest) Launch(ctx context.Context, env []string, dir string, argv ...string) (Running, error) {
	line := "env"
	for _, word := range append(env, argv...) {
		line += " '" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	out, err := g.shell(ctx, line+" >> "+g.Path(dir)+"/output.log 2>&1 & echo $!")
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		return nil, fmt.Errorf("process id in guest: %w", err)
	}
	return &guestProcess{guest: g, pid: pid}, nil
}

func (p *guestProcess) Stop() error { return p.end("TERM") }
func (p *guestProcess) Kill() error { return p.end("KILL") }

func (p *guestProcess) end(sig string) error {
	// A guest on a busy machine takes its time for all of it.
	ctx, cancel := context.WithTimeout(context.Background(), guestBoot)
	defer cancel()
	// One program that waits: starting many is slow in a guest.
	_, err := p.guest.shell(ctx, fmt.Sprintf("kill -%s %d 2>/dev/null || exit 0; timeout %d tail -s 0.05 --pid=%d -f /dev/null || kill -KILL %d",
		sig, p.pid, int(stopGrace/time.Second), p.pid, p.pid))
	return err
}

// Stop ends the guest. Nothing in it is worth an orderly shutdown: its disk is
// a layer in memory, and what it wrote to Dir is written.
func (g *Guest) Stop() error {
	// Its helpers are in the process group that it leads. There is no group
	// when the guest is gone already.
	if err := killGroup(g.process.PID()); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending guest %s: %w", g.Name, err)
	}
	return g.process.Kill()
}
