package native_test

import (
	"context"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/internal/interop"
)

// rekeyed waits until a rekeying that begin begins has happened.
func (r *rig) rekeyed(kind event.ChangeKind, begin func(ctx context.Context) error) {
	r.t.Helper()
	ctx := limited(r.t)
	for ev, err := range r.Events(ctx, backend.EventOptions{Every: -1}) {
		if err == nil && ev.Table != nil {
			err = begin(ctx)
		}
		switch {
		case err != nil:
			r.t.Fatal(err)
		case ev.Change != nil && ev.Change.Kind == kind:
			return
		}
	}
	r.t.Fatalf("no %s came", kind)
}

func TestInteropRekeyingUnderTrafficLosesNoPacketWithStrongSwan(t *testing.T) {
	rec := recorder(t)
	eachRole(t, rec, "traffic: rekeying loses no packet", false, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("20 rekeyings of the child and 5 of the IKE SA, by either side in turn, under pings each 4 ms")
		r := newRig(t, layout{})
		r.raise(role)
		r.echo(1)
		enough := r.pinging()
		ours := func(target backend.Target) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := r.Rekey(ctx, target, backend.RekeyOptions{})
				return err
			}
		}
		theirs := func(args ...string) func(context.Context) error {
			return func(context.Context) error {
				r.swanctl(args...)
				return nil
			}
		}
		for n := range 20 {
			switch n % 8 {
			case 3:
				r.rekeyed(event.IKERekey, ours(backend.Target{IKE: "gw"}))
			case 7:
				r.rekeyed(event.IKERekey, theirs("--rekey", "--ike", "gw"))
			}
			if n%2 == 0 {
				r.rekeyed(event.ChildRekey, ours(backend.Target{Child: "net"}))
			} else {
				r.rekeyed(event.ChildRekey, theirs("--rekey", "--child", "net"))
			}
			r.carrying()
		}
		if sent, lost := enough(); len(lost) > 0 {
			t.Errorf("of %d pings %v are lost; our plane dropped %+v", sent, lost, r.data.Drops())
		}
		c, err := r.Counters(limited(t), "gw")
		if n := c.Counts; err != nil || n["child-rekey"] != 20 || n["ike-rekey-init"]+n["ike-rekey-resp"] != 5 {
			t.Errorf("rekeyed %v, %v", c.Counts, err)
		}
	})
}

func TestInteropRekeyingByVolumeLosesNoPacketWithStrongSwan(t *testing.T) {
	t.Parallel() // mostly it waits
	rec := recorder(t)
	for _, row := range []struct {
		feature string
		layout  layout
	}{
		{"traffic: rekeying after packets, by our limit", layout{volume: ", packets: {rekey: 200, hard: 100000, jitter: 0}"}},
		{"traffic: rekeying after octets, by our limit", layout{volume: ", octets: {rekey: 16KB, hard: 10MB, jitter: 0}"}},
		{"traffic: rekeying after packets, by the peer's limit", layout{child: []string{"rekey_packets = 200", "life_packets = 100000", "rand_packets = 0"}}},
		{"traffic: rekeying after octets, by the peer's limit", layout{child: []string{"rekey_bytes = 16000", "life_bytes = 10000000", "rand_bytes = 0"}}},
	} {
		eachRole(t, rec, row.feature, false, func(t *testing.T, role interop.Role, e *interop.Entry) {
			t.Parallel()
			e.Detail("several times over under pings each 4 ms, of which none is lost")
			r := newRig(t, row.layout)
			r.raise(role)
			enough := r.pinging()
			rekeyings := func() int {
				c, err := r.Counters(limited(t), "gw")
				if err != nil {
					t.Fatal(err)
				}
				return int(c.Counts["child-rekey"])
			}
			r.until(t, "three rekeyings", func() bool { return rekeyings() >= 3 })
			r.carrying() // over the last of them too
			sent, lost := enough()
			if len(lost) > 0 {
				t.Errorf("of %d pings %v are lost; our plane dropped %+v", sent, lost, r.data.Drops())
			}
			// A limit is good for 130 pings at least.
			if n := rekeyings(); n > 1+sent/130 {
				t.Errorf("%d times for %d pings", n, sent)
			}
		})
	}
}

// TestInteropUsedUpSAsEndWithStrongSwan has an SA carry all it may, where nobody replaces it in
// time.
func TestInteropUsedUpSAsEndWithStrongSwan(t *testing.T) {
	rec := recorder(t)
	eachRole(t, rec, "traffic: the child ends where its packets are used up", false, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("and its traffic brings up another")
		r := newRig(t, layout{volume: ", packets: {rekey: 0, hard: 50, jitter: 0}", tunnel: ", start: trap"})
		r.raise(role)
		old := r.sas(t)[0].Children[0].SPIIn
		r.echo(sizes(1, 100, 1)...)
		if now := r.sas(t); len(now) != 1 || len(now[0].Children) == 1 && now[0].Children[0].SPIIn == old {
			t.Errorf("after 100 pings there is %+v", now)
		}
	})
}
