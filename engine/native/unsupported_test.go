package native_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
)

func TestWhatTheEngineHasNotIsUnsupportedAndWhatItHasIsListed(t *testing.T) {
	a, _ := pair(t, nil)
	for name, call := range map[string]func(context.Context) error{
		"install":         func(ctx context.Context) error { return a.Install(ctx, backend.Target{IKE: "gw"}) },
		"redirect":        func(ctx context.Context) error { _, err := a.Redirect(ctx, backend.Target{IKE: "gw"}, "x"); return err },
		"uninstall":       func(ctx context.Context) error { return a.Uninstall(ctx, backend.Target{IKE: "gw"}) },
		"reload settings": a.ReloadSettings,
		"load a pool":     func(ctx context.Context) error { return a.LoadPool(ctx, "x", nil) },
		"unload a pool":   func(ctx context.Context) error { return a.UnloadPool(ctx, "x") },
		"load a token":    func(ctx context.Context) error { _, err := a.LoadToken(ctx, backend.TokenData{}); return err },
		"up by a peer": func(ctx context.Context) error {
			return a.Up(ctx, backend.Target{PeerID: "x"}, backend.UpOptions{}, nil)
		},
		"reauthenticate": func(ctx context.Context) error {
			_, err := a.Rekey(ctx, backend.Target{IKE: "gw"}, backend.RekeyOptions{Reauth: true})
			return err
		},
	} {
		if err := call(limited(t)); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := a.Policies(limited(t)); err != nil || len(list) != 0 {
		t.Errorf("policies %+v, %v", list, err)
	}
	if list, err := a.Pools(limited(t), true); err != nil || len(list) != 0 {
		t.Errorf("pools %+v, %v", list, err)
	}
	conns, err := a.Connections(limited(t))
	if err != nil || len(conns) != 1 || conns[0].Name != "gw" || conns[0].Local[0].Class != "pre-shared key" || conns[0].Children[0].Mode != "TUNNEL" {
		t.Errorf("connections %+v, %v", conns, err)
	}
	a.up(t, "net")
	if s, err := a.Stats(limited(t)); err != nil || s.IKESAs.Or(0) != 1 || s.HalfOpen.Or(1) != 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
	for _, f := range []struct {
		filter backend.Filter
		want   int
	}{{backend.Filter{IKE: "gw", Child: "net"}, 1}, {backend.Filter{IKE: "other"}, 0}, {backend.Filter{Child: "other"}, 0}} {
		if list, err := a.SAs(limited(t), f.filter); err != nil || len(list) != f.want {
			t.Errorf("%+v: %d SAs, want %d (%v)", f.filter, len(list), f.want, err)
		}
	}
}
