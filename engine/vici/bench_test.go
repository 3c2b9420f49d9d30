package vici_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// BenchmarkSAs2000 lists 2,000 IKE SAs with a child each.
func BenchmarkSAs2000(b *testing.B) {
	s := vicitest.NewDaemon(5000, 2000)
	path := filepath.Join(b.TempDir(), "vici")
	if err := s.Listen("unix", path); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }() // its work is done
	c := vici.New(vici.Addr{Network: "unix", Address: path})
	for b.Loop() {
		sas, err := c.SAs(context.Background(), backend.Filter{})
		if err != nil || len(sas) != 2000 {
			b.Fatalf("%d SAs, %v", len(sas), err)
		}
	}
}
