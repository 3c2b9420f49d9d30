package policy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

// The bounds of reading a secret.
const (
	maxSecret      = 64 << 10 // octets
	defaultTimeout = 10 * time.Second
	maxTimeout     = time.Minute
)

// SecretRef says where a secret is: in a file, in the environment, or printed
// by a command. Exactly one of the three is set; the zero value is no secret.
type SecretRef struct {
	File    string
	Env     string
	Command []string      // program and arguments, without a shell
	Timeout time.Duration // of the command
}

// IsZero says that there is no secret.
func (s SecretRef) IsZero() bool { return s.File == "" && s.Env == "" && len(s.Command) == 0 }

// String says where the secret is. Of a command it names the program only: its
// arguments may tell what they should not.
func (s SecretRef) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	case len(s.Command) > 0:
		return "command " + s.Command[0]
	}
	return "no secret"
}

// Resolve reads the secret. One line end at the end of a file's or a command's
// text does not belong to it. The error names the place and never holds what
// was read.
func (s SecretRef) Resolve(ctx context.Context) (suite.Secret, error) {
	var b []byte
	var err error
	switch {
	case s.File != "":
		b, err = readFile(s.File, maxSecret)
		b = withoutLineEnd(b)
	case s.Env != "":
		v, ok := os.LookupEnv(s.Env)
		if b = []byte(v); !ok {
			err = fmt.Errorf("not set")
		}
	case len(s.Command) > 0:
		b, err = s.run(ctx)
		b = withoutLineEnd(b)
	}
	defer clear(b)
	switch {
	case err != nil:
		return suite.Secret{}, fmt.Errorf("secret in %s: %w", s, err)
	case len(b) == 0:
		return suite.Secret{}, fmt.Errorf("secret in %s: it is empty", s)
	case len(b) > maxSecret:
		return suite.Secret{}, fmt.Errorf("secret in %s: more than %d octets", s, maxSecret)
	}
	return suite.NewSecret(b), nil
}

func withoutLineEnd(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// run runs the command. What it writes to standard error is not shown: it may
// hold the secret.
func (s SecretRef) run(ctx context.Context) ([]byte, error) {
	limit := s.Timeout
	if limit <= 0 || limit > maxTimeout {
		limit = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.WaitDelay = time.Second // for children that hold the pipe open
	out := &capped{room: maxSecret, full: cancel}
	cmd.Stdout = out
	err := cmd.Run()
	switch {
	case out.over:
		err = fmt.Errorf("it prints more than %d octets", maxSecret)
	case ctx.Err() == context.DeadlineExceeded:
		err = fmt.Errorf("no answer within %s", formatDuration(limit))
	}
	if err != nil {
		clear(out.b)
		return nil, err
	}
	return out.b, nil
}

// capped keeps what is written up to a limit, and calls full beyond it.
type capped struct {
	b    []byte
	room int
	over bool
	full func()
}

// Write takes p over.
func (c *capped) Write(p []byte) (int, error) {
	if len(c.b)+len(p) > c.room {
		c.over = true
		c.full()
		return 0, fmt.Errorf("more than %d octets", c.room)
	}
	c.b = append(c.b, p...)
	return len(p), nil
}
