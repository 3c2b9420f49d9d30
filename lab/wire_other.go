//go:build !linux

package lab

import (
	"context"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

func (b *Bench) layWire(context.Context) error { return need.ErrNotRoot }
