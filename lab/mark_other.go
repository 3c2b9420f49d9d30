//go:build !linux

package lab

import "github.com/cloudvlan/cvlanctl/lab/need"

// mark needs Linux.
func (ns *NS) mark(string) ([]byte, error) { return nil, need.ErrNotRoot }
