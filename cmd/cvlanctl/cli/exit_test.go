package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

func TestErrorsHaveTheirExitCodes(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"none", nil, exitFine},
		{"any", errors.New("x"), exitFailed},
		{"damaged file", fmt.Errorf("x: %w", &capture.FormatError{File: "f"}), exitFailed},
		{"usage", fmt.Errorf("x: %w", usagef("y")), exitUsage},
		{"findings", &findingsError{"high"}, exitFindings},
		{"permission", &unreachableError{&fs.PathError{Op: "open", Path: "f", Err: syscall.EACCES}}, exitPermission},
		{"missing", &fs.PathError{Op: "open", Path: "f", Err: syscall.ENOENT}, exitUnreachable},
		{"unreachable", &unreachableError{errors.New("is a directory")}, exitUnreachable},
		{"interrupted", errors.Join(context.Canceled, errors.New("x")), exitInterrupted},
		{"daemon gone", fmt.Errorf("%w: %w", backend.ErrUnreachable, &net.OpError{Op: "write", Net: "unix", Err: syscall.EPIPE}), exitUnreachable},
		{"reader gone", fmt.Errorf("writing: %w", &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}), exitFine},
	}
	for _, x := range tests {
		if got := exitCode(x.err); got != x.want {
			t.Errorf("%s: exit code %d, want %d", x.name, got, x.want)
		}
	}
}

// TestInterruptEndsAWaitingReader proves that Ctrl-C works while standard
// input has nothing to give.
func TestInterruptEndsAWaitingReader(t *testing.T) {
	in, feed := io.Pipe()
	defer feed.Close()
	ctx, cancel := context.WithCancel(context.Background())
	screen, _, errs := term.Test("", nil)
	screen.In = &onRead{in, cancel}
	for _, command := range []string{"decode", "sas"} {
		if code := NewApp(screen).run(ctx, []string{"pcap", command, "-"}); code != exitInterrupted {
			t.Errorf("%s: exit code %d, %q", command, code, errs)
		}
	}
	if !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("nothing is said: %q", errs)
	}
}

// onRead calls a function before it reads.
type onRead struct {
	io.Reader
	call func()
}

func (r *onRead) Read(p []byte) (int, error) {
	r.call()
	return r.Reader.Read(p)
}
