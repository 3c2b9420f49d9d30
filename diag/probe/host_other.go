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

func grow(*diag.HostFacts) {}
