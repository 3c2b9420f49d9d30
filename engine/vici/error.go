package vici

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// Error is the failure of one call. It matches one of backend.ErrUnreachable,
// ErrRefused, ErrProtocol and ErrUnsupported, and what Err wraps.
type Error struct {
	Kind error  // one of those four
	Op   string // the command: "list-sas"
	Addr Addr
	Err  error // what was seen; nil where the kind says it all
}

// Error says what was asked of whom and what came of it.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s on %s: %v", e.Op, e.Addr, e.Kind)
	}
	if e.Kind == backend.ErrRefused {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s on %s: %v: %v", e.Op, e.Addr, e.Kind, e.Err)
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// errClosed is what becomes of an end of the connection between two messages.
var errClosed = errors.New("the daemon has closed the connection")

// Errors of the guard, all of kind ErrProtocol.
var (
	errTooLong     = errors.New("a message longer than 512 KiB was announced")
	errEmpty       = errors.New("an empty message")
	errPacketType  = errors.New("a message of a type that no server sends")
	errWrongAnswer = errors.New("an answer to another kind of question")
	errUnasked     = errors.New("an answer to no question")
	errMalformed   = errors.New("a malformed message")
	errTooMuch     = errors.New("more than any daemon has")
	errCutShort    = errors.New("the connection ended within a message")
)

// protocolError says whether the guard found the server at fault.
func protocolError(err error) bool {
	for _, e := range []error{errTooLong, errEmpty, errPacketType, errWrongAnswer, errUnasked, errMalformed, errTooMuch, errCutShort} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// classify makes the error of a failed call; cause is the guard's view of the
// connection, nil where it is well.
func classify(ctx context.Context, op string, a Addr, err, cause error) *Error {
	switch {
	case protocolError(cause):
		return &Error{backend.ErrProtocol, op, a, cause}
	case ctx.Err() != nil:
		return &Error{backend.ErrUnreachable, op, a, fmt.Errorf("no answer: %w", ctx.Err())}
	case cause != nil:
		return &Error{backend.ErrUnreachable, op, a, cause}
	}
	return &Error{backend.ErrUnreachable, op, a, err}
}

// reached says whether the outcome of a call shows that a daemon is there.
func reached(err error) bool {
	return err == nil || errors.Is(err, backend.ErrRefused) || errors.Is(err, backend.ErrUnsupported)
}
