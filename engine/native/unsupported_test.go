package native_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
)

func TestWhatThePolicyDecidesIsNotChangedByCommands(t *testing.T) {
	a, _ := pair(t, nil)
	for name, call := range map[string]func(context.Context) error{
		"load connection":   func(ctx context.Context) error { return a.LoadConnection(ctx, "x", nil) },
		"unload connection": func(ctx context.Context) error { return a.UnloadConnection(ctx, "gw") },
		"load secret":       func(ctx context.Context) error { return a.LoadSecret(ctx, backend.Secret{}) },
		"clear credentials": a.ClearCredentials,
		"install":           func(ctx context.Context) error { return a.Install(ctx, backend.Target{IKE: "gw"}) },
		"redirect":          func(ctx context.Context) error { _, err := a.Redirect(ctx, backend.Target{IKE: "gw"}, "x"); return err },
		"reauthenticate": func(ctx context.Context) error {
			_, err := a.Rekey(ctx, backend.Target{IKE: "gw"}, backend.RekeyOptions{Reauth: true})
			return err
		},
	} {
		if err := call(limited(t)); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
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
