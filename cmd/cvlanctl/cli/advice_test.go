package cli

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestAnEngineThatMayNotStartSaysWhatWouldLetIt(t *testing.T) {
	refused := notStarted(&fs.PathError{Op: "bind", Path: "udp", Err: fs.ErrPermission}, "With --netstack it needs neither.")
	for _, want := range []string{"starting the engine: bind udp", "CAP_NET_BIND_SERVICE", "With --netstack"} {
		if !strings.Contains(refused.Error(), want) {
			t.Errorf("%q does not say %q", refused, want)
		}
	}
	if !errors.Is(refused, fs.ErrPermission) {
		t.Error("the exit code is not that of a missing permission")
	}
	if other := notStarted(errors.New("the port is taken"), "With --netstack"); strings.Contains(other.Error(), "root") || strings.Contains(other.Error(), "netstack") {
		t.Errorf("%q advises what does not help", other)
	}
}
