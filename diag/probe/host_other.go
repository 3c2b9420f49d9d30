//go:build !linux

package probe

import (
	"context"
	"errors"

	"github.com/cloudvlan/cvlanctl/diag"
)

func look(_ context.Context, h *diag.HostFacts) {
	unseen(h, "the host", errors.New("only Linux hosts are looked at"))
}

func other(*diag.HostFacts, int) bool { return false }

func enter(*diag.HostFacts, int) (ok bool) { return false }

func counters(*diag.HostFacts) (grow func()) { return func() {} }

// rootOf gives the folder in which a process sees its files.
func rootOf(int) string { return "/" }

func swanctlOf(int) []string { return nil }

// Listener gives 0: whose process listens on a socket is asked on Linux only.
func Listener(string) int { return 0 }
