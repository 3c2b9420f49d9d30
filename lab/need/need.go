// Package need is the rule for tests that need more than Go: root, a program
// to compare with, real peers. A machine that cannot have it leaves the test
// out and says why; in CI (CI=true) nothing is left out, the test fails.
//
// It stands below package lab, and imports nothing of the project, so that
// tests of the packages that the lab itself is made of can use it.
package need

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// ErrNotRoot is returned where namespaces cannot be made.
var ErrNotRoot = errors.New("the lab needs Linux and root, to make network namespaces")

// ErrMissing is returned, wrapped, where a program is not there and cannot be
// installed.
var ErrMissing = errors.New("the lab lacks programs")

// Root is for tests that make namespaces or devices.
func Root(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		Without(t, ErrNotRoot)
	}
}

// Program is for tests that compare with another program; it gives its path.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Without(t, fmt.Errorf("%w: %s", ErrMissing, name))
	}
	return path
}

// Without ends a test that cannot have what it needs. It is left out, outside
// of CI, only for ErrNotRoot and ErrMissing; any other error is a failure.
func Without(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "true" && (errors.Is(err, ErrNotRoot) || errors.Is(err, ErrMissing)) {
		t.Skipf("left out: %v", err)
	}
	t.Fatalf("cannot be left out: %v", err)
}
