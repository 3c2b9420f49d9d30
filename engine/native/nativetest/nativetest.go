// Package nativetest starts engines for tests.
package nativetest

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// Start starts an engine that ends with the test. Where o says nothing else, it
// has no connection, and ports of loopback that are free.
func Start(t testing.TB, o native.Options) *native.Engine {
	t.Helper()
	if o.Policy == nil {
		o.Policy = &policy.Policy{}
	}
	if !o.Local.IsValid() {
		o.Local = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if o.Listen == nil {
		o.Listen = func(a netip.AddrPort) (*net.UDPConn, error) {
			return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr(), 0)))
		}
	}
	e, err := native.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Section makes settings from words: "local.auth=psk" puts a value into a
// section.
func Section(words ...string) *backend.Section {
	root := &backend.Section{}
	for _, w := range words {
		path, value, _ := strings.Cut(w, "=")
		at, names := root, strings.Split(path, ".")
		for _, n := range names[:len(names)-1] {
			at = at.Sub(n)
		}
		at.Set(names[len(names)-1], value)
	}
	return root
}
