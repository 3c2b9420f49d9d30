package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/lab"
)

// Upset sets hosts or the path between them wrong, and gives how that is
// undone.
type Upset func(ctx context.Context, b *lab.Bench) (undo func(context.Context) error, err error)

// where picks a namespace of a bench.
type where func(b *lab.Bench) *lab.NS

// Hosts of a bench: the namespaces, or the guests in them.
func onInitiator(b *lab.Bench) lab.Host { return b.HostA }

func atInitiator(b *lab.Bench) *lab.NS { return b.NSA }
func atResponder(b *lab.Bench) *lab.NS { return b.NSB }
func atBox(b *lab.Bench) *lab.NS       { return b.Boxes[0] }

// chain loads nftables rules that see packets at a hook before all others do:
// "type filter hook input priority -450".
func chain(at where, hook, rules string) Upset {
	return func(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
		ns := at(b)
		if err := ns.NFT(ctx, fmt.Sprintf("table inet fault {\n chain c {\n %s\n %s\n }\n}\n", hook, rules)); err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return ns.NFT(ctx, "delete table inet fault\n") }, nil
	}
}

// sysctl sets kernel settings, "name=value", and sets them back.
func sysctl[H lab.Host](at func(*lab.Bench) H, settings ...string) Upset {
	return func(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
		ns := at(b)
		var before []string
		for _, s := range settings {
			name, _, _ := strings.Cut(s, "=")
			old, err := ns.Exec(ctx, "sysctl", "-n", name)
			if err != nil {
				return nil, err
			}
			before = append(before, name+"="+strings.TrimSpace(old))
		}
		set := func(ctx context.Context, settings []string) error {
			_, err := ns.Exec(ctx, append([]string{"sysctl", "-q", "-w"}, settings...)...)
			return err
		}
		return func(ctx context.Context) error { return set(ctx, before) }, set(ctx, settings)
	}
}

// added has the ip tool add an object, "xfrm policy %s src ...", with what only
// the order to add it takes, and delete it in the end.
func added[H lab.Host](at func(*lab.Bench) H, object, only string) Upset {
	return edited(at, object, only, "add", "delete")
}

// removed has it delete an object, and add it in the end.
func removed[H lab.Host](at func(*lab.Bench) H, object string) Upset {
	return edited(at, object, "", "delete", "add")
}

func edited[H lab.Host](at func(*lab.Bench) H, object, only, first, last string) Upset {
	return func(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
		order := func(ctx context.Context, verb string) error {
			line := fmt.Sprintf(object, verb)
			if verb == "add" {
				line += " " + only
			}
			_, err := at(b).Exec(ctx, append([]string{"ip"}, strings.Fields(line)...)...)
			return err
		}
		return func(ctx context.Context) error { return order(ctx, last) }, order(ctx, first)
	}
}

// all sets several things wrong.
func all(list ...Upset) Upset {
	return func(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
		var undo []func(context.Context) error
		back := func(ctx context.Context) error {
			var errs []error
			for _, u := range slices.Backward(undo) {
				errs = append(errs, u(ctx))
			}
			return errors.Join(errs...)
		}
		for _, u := range list {
			one, err := u(ctx, b)
			if err != nil {
				return nil, errors.Join(err, back(ctx))
			}
			undo = append(undo, one)
		}
		return back, nil
	}
}
