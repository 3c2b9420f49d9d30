package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a process on a busy machine has to end after it was asked
// to.
const stopGrace = 30 * time.Second

// command runs a program to its end and gives what it printed, both streams
// together. An error repeats the last line of it.
func command(ctx context.Context, name string, args ...string) (string, error) {
	return commandInput(ctx, nil, name, args...)
}

func commandInput(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = stopGrace
	cmd.Stdin = stdin
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLine(out.String()))
	}
	return out.String(), nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// Process is a program that runs until it is stopped.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; read after done is closed
	log  *os.File
}

// startProcess starts a program whose output goes to file logPath. It ends
// with this process, whatever becomes of it.
func startProcess(env []string, logPath, name string, args ...string) (*Process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), log.Close())
	}
	p := &Process{cmd: cmd, done: make(chan struct{}), log: log}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ended says whether the process has ended.
func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop asks the process to end and insists after half a minute.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

func (p *Process) end(sig os.Signal) error {
	if p.ended() {
		return p.closeLog()
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending process %d: %w", p.PID(), err)
	}
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("killing process %d: %w", p.PID(), err)
		}
		<-p.done
	}
	return p.closeLog()
}

func (p *Process) closeLog() error {
	if err := p.log.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("log of process %d: %w", p.PID(), err)
	}
	return nil
}

// Eventually asks ok again and again, every 20 ms, until it says true; it
// gives up with an error that names what was waited for.
func Eventually(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// pause waits, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
