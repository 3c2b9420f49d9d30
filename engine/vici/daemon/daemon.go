package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// Errors of starting and finding a daemon.
var (
	// ErrPresent says that an IKE daemon is there already.
	ErrPresent = errors.New("an IKE daemon is running already")
	// ErrDied says that the daemon ended by itself.
	ErrDied = errors.New("charon died")
	// ErrNotOurs says that a folder holds no daemon that runs.
	ErrNotOurs = errors.New("no daemon of ours runs there")
)

// stopGrace is how long a daemon has to delete its SAs and end.
const stopGrace = 10 * time.Second

// probe is how often the socket is tried, and the process of another one's
// child looked at.
const probe = 20 * time.Millisecond

// Daemon is a charon that was started here.
type Daemon struct {
	dir     string
	process *os.Process
	state   state
	done    chan struct{}

	mu  sync.Mutex
	err error // why it ended; read after done
}

// state is what the folder tells of its daemon.
type state struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // of the process, in ticks since the system's start
}

// Start runs a charon and waits until it answers.
func Start(ctx context.Context, c Config) (*Daemon, error) {
	var err error
	if c.Binary == "" {
		if c.Binary, err = Find(); err != nil {
			return nil, err
		}
	}
	if err := refuse(ctx, &c); err != nil {
		return nil, err
	}
	if c.Dir == "" {
		c.Dir, err = os.MkdirTemp("", "cvlanctl-charon-")
	} else {
		err = os.Mkdir(c.Dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("folder of daemon: %w", err)
	}
	d, err := launch(ctx, &c)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.Dir))
	}
	if err := d.ready(ctx); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// refuse looks for a daemon that is there already: at the socket where one
// usually is, in the folder, and on IKE's port.
func refuse(ctx context.Context, c *Config) error {
	if c.Dir != "" {
		abs, err := filepath.Abs(c.Dir)
		if err != nil {
			return fmt.Errorf("folder of daemon: %w", err)
		}
		c.Dir = abs
		if n := len(filepath.Join(abs, socketFile)); n > maxSocketPath {
			return fmt.Errorf("folder of daemon: the path of its socket would have %d octets, %d are possible", n, maxSocketPath)
		}
		if d, err := Attach(abs); err == nil {
			return fmt.Errorf("%w: process %d in %s", ErrPresent, d.PID(), abs)
		}
		if _, err := os.Stat(filepath.Join(abs, stateFile)); err == nil {
			// What a daemon of ours left that was killed.
			if err := os.RemoveAll(abs); err != nil {
				return fmt.Errorf("folder of daemon: %w", err)
			}
		}
	}
	if len(c.Through) > 0 {
		return nil // another network: ready finds out
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if client, err := vici.Dial(ctx, vici.Addr{Network: "unix", Address: vici.DefaultSocket}); err == nil {
		_ = client.Close() // never fails
		return fmt.Errorf("%w: it answers at %s", ErrPresent, vici.DefaultSocket)
	}
	if ikeSockets("self") > 0 {
		return fmt.Errorf("%w: UDP port 500 is in use", ErrPresent)
	}
	return nil
}

// launch writes the configuration and starts the process.
func launch(_ context.Context, c *Config) (*Daemon, error) {
	if err := c.write(); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(filepath.Join(c.Dir, outputFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("output of daemon: %w", err)
	}
	defer func() { _ = out.Close() }() // the daemon has its own
	argv := append(append([]string{}, c.Through...), c.Binary)
	cmd := exec.Command(argv[0], argv[1:]...) // not of ctx: it outlives the call
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(c.Dir, confFile))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = ownSession()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Binary, err)
	}
	d := &Daemon{dir: c.Dir, process: cmd.Process, done: make(chan struct{})}
	go func() {
		d.end(cmd.Wait())
	}()
	d.state = state{PID: cmd.Process.Pid}
	d.state.Start, _ = startTime(d.state.PID) // 0 where the system does not tell
	b, err := json.Marshal(d.state)
	if err == nil {
		err = os.WriteFile(filepath.Join(c.Dir, stateFile), b, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state of daemon: %w", err), d.Stop())
	}
	return d, nil
}

// end notes that the process has ended and why.
func (d *Daemon) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	why := lastWords(d.dir)
	switch {
	case err != nil && why != "":
		d.err = fmt.Errorf("%w: %w; its last words: %s", ErrDied, err, why)
	case err != nil:
		d.err = fmt.Errorf("%w: %w", ErrDied, err)
	default:
		d.err = fmt.Errorf("%w: it ended by itself; its last words: %s", ErrDied, why)
	}
	close(d.done)
}

// ready tries the socket until the daemon answers, and looks whether it could
// open IKE's ports.
func (d *Daemon) ready(ctx context.Context) error {
	tick := time.NewTicker(probe)
	defer tick.Stop()
	for {
		client, err := vici.Dial(ctx, d.Addr())
		if err == nil {
			_ = client.Close() // never fails
			break
		}
		select {
		case <-d.done:
			return d.Err()
		case <-ctx.Done():
			return fmt.Errorf("waiting for charon to answer: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
	// charon opens its ports beside another daemon's, and does not notice.
	if ikeSockets(strconv.Itoa(d.PID())) > 1 {
		return fmt.Errorf("%w: UDP port 500 is in use", ErrPresent)
	}
	var bind string
	err := d.Log(func(e *event.Event) {
		if f := e.Log.Failure; f != nil && f.Kind == "socket" {
			bind = e.Log.Text
		}
	})
	if err != nil {
		return err
	}
	if bind != "" {
		return fmt.Errorf("%w: charon says %q", ErrPresent, bind)
	}
	return nil
}

// Attach finds the daemon that was started in a folder, by this process or
// another.
func Attach(dir string) (*Daemon, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	d := &Daemon{dir: dir, done: make(chan struct{})}
	if err := json.Unmarshal(b, &d.state); err != nil || d.state.PID <= 1 {
		return nil, fmt.Errorf("%w: %s cannot be read", ErrNotOurs, stateFile)
	}
	if !d.state.alive() {
		return nil, fmt.Errorf("%w: process %d has ended; its last words: %s", ErrNotOurs, d.state.PID, lastWords(dir))
	}
	if d.process, err = os.FindProcess(d.state.PID); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	go func() {
		for d.state.alive() {
			time.Sleep(probe)
		}
		d.end(errors.New("the process is gone"))
	}()
	return d, nil
}

// alive says whether the very process runs that was started.
func (s state) alive() bool {
	start, err := startTime(s.PID)
	return err == nil && start == s.Start
}

// Addr is where the daemon listens.
func (d *Daemon) Addr() vici.Addr {
	return vici.Addr{Network: "unix", Address: filepath.Join(d.dir, socketFile)}
}

// Dir is the daemon's folder.
func (d *Daemon) Dir() string { return d.dir }

// PID is the daemon's process id.
func (d *Daemon) PID() int { return d.state.PID }

// LogPath is the path of the daemon's log.
func (d *Daemon) LogPath() string { return filepath.Join(d.dir, logFile) }

// Done is closed when the daemon has ended.
func (d *Daemon) Done() <-chan struct{} { return d.done }

// Err says why the daemon has ended, nil while it runs.
func (d *Daemon) Err() error {
	select {
	case <-d.done:
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.err
	default:
		return nil
	}
}

// Stop ends the daemon, first asking, and removes its folder. It is no error
// to stop one that has ended.
func (d *Daemon) Stop() error {
	if d.Err() == nil && (d.state.Start == 0 || d.state.alive()) {
		if err := d.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stopping charon, process %d: %w", d.PID(), err)
		}
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-d.done:
	case <-grace.C:
		if err := d.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("killing charon, process %d: %w", d.PID(), err)
		}
		<-d.done
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("folder of daemon: %w", err)
	}
	return nil
}

// Log calls each for every line of the daemon's log so far, in order.
func (d *Daemon) Log(each func(*event.Event)) error {
	f, err := os.Open(d.LogPath())
	if err != nil {
		return fmt.Errorf("log of daemon: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	return vici.ReadLog(f, each)
}

// lastWords gives the last lines of a daemon's log and output that tell
// something, in one.
func lastWords(dir string) string {
	var words []string
	for _, name := range []string{logFile, outputFile} {
		if line := lastLine(filepath.Join(dir, name)); line != "" {
			words = append(words, line)
		}
	}
	return strings.Join(words, " / ")
}

// tail is how much of the end of a log is read for its last line, in octets.
const tail = 8 << 10

func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // read only
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		if _, err := f.Seek(-tail, 2); err != nil {
			return ""
		}
	}
	last := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" {
			last = line
		}
	}
	if _, l, ok := vici.ParseLogLine(last); ok {
		return l.Text
	}
	return last
}
