package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// The exit codes of every command.
const (
	exitFine        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitFindings    = 3 // findings at or above --fail-on
	exitPermission  = 4
	exitUnreachable = 5 // the source: a file that is not there, an interface that is not
	exitInterrupted = 130
)

// usageError is a command line that cannot be run as it stands.
type usageError struct{ err error }

// Error gives the cause's words.
func (e *usageError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// findingsError says that a diagnosis found what --fail-on asks to fail for.
// It was printed as the result, so Run prints nothing more.
type findingsError struct{ worst string }

// Error says how bad the worst finding is.
func (e *findingsError) Error() string { return "the worst finding is " + e.worst }

// unreachableError is a source that could not be opened.
type unreachableError struct{ err error }

// Error gives the cause's words.
func (e *unreachableError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *unreachableError) Unwrap() error { return e.err }

// exitCode gives the exit code that says what err means. A reader that went
// away (cvlanctl ... | head) is no failure.
func exitCode(err error) int {
	var usage *usageError
	var findings *findingsError
	var unreachable *unreachableError
	switch {
	case err == nil, readerGone(err):
		return exitFine
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &findings):
		return exitFindings
	case errors.Is(err, fs.ErrPermission):
		return exitPermission
	case errors.As(err, &unreachable), errors.Is(err, fs.ErrNotExist), errors.Is(err, backend.ErrUnreachable):
		return exitUnreachable
	}
	return exitFailed
}

// silent says that err needs no line on standard error: its meaning has been
// shown, or there is nobody left to read it.
func silent(err error) bool {
	var findings *findingsError
	return errors.As(err, &findings) || readerGone(err)
}

// readerGone says that err is about a standard output that nobody reads any
// more. A daemon that hangs up makes the same error, but of a socket.
func readerGone(err error) bool {
	var file *fs.PathError
	return errors.As(err, &file) && errors.Is(file, syscall.EPIPE)
}

// interrupted says that the user ended the command, so that there is no
// result to show.
func interrupted(err error) bool { return errors.Is(err, context.Canceled) }
