package vici_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/lab"
)

// shared is one pair of daemons for all tests of this package, made when the
// first test asks for it.
var shared struct {
	once  sync.Once
	bench *lab.Bench
	dir   string
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.bench != nil {
		if err := shared.bench.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "closing the bench:", err)
			code = 1
		}
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir) // a temporary folder
	}
	os.Exit(code)
}

// peers gives the shared pair of strongSwan daemons. Without root it skips the
// test; in CI that is a failure.
func peers(t *testing.T) *lab.Bench {
	t.Helper()
	lab.Need(t)
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if shared.dir, shared.err = os.MkdirTemp("", "cvl-vici-"); shared.err != nil {
			return
		}
		shared.bench, shared.err = lab.NewBench(ctx, scenario(), shared.dir)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	shared.bench.ShowOnFailure(t)
	return shared.bench
}

// scenario is a pair with a second child that stays down, a pool and liveness
// checks.
func scenario() lab.Scenario {
	return lab.Scenario{Name: "vici", Ends: func(a, b *lab.End) error {
		a.Conn = append(a.Conn, "dpd_delay = 1s")
		a.Child = append(a.Child, "}", "spare {", "local_ts = 10.9.0.0/16", "remote_ts = 10.8.0.0/16", "esp_proposals = aes128gcm16")
		b.Pools = append(b.Pools, "office {\naddrs = 10.50.0.0/29\ndns = 10.50.0.7, 10.50.0.6\n}")
		return nil
	}}
}

// client gives a client of the initiator.
func client(t *testing.T) *vici.Client {
	t.Helper()
	return clientOf(t, peers(t).A)
}

func clientOf(t *testing.T, d *lab.Daemon) *vici.Client {
	t.Helper()
	a, err := vici.ParseAddr("vici:" + d.Socket())
	if err != nil {
		t.Fatal(err)
	}
	c := vici.New(a)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// timeout bounds a test's waiting.
func timeout(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
