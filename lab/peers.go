package lab

import (
	"context"
	"fmt"
)

// withGateway has another daemon answer in place of a strongSwan responder,
// with the same identities, secret and networks.
func withGateway(software Software) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		g, ok := b.HostB.(*Guest)
		if !ok {
			return fmt.Errorf("scenario %s has no guest for its responder", b.Scenario.Name)
		}
		gw, err := NewGateway(ctx, g, software)
		if err != nil {
			return err
		}
		end := &b.EndB
		err = gw.Load(ctx, GatewayConnection{
			Name: "lab", Local: b.OuterB, Remote: b.OuterA,
			LocalID: end.Local.ID, RemoteID: end.Remote.ID, PSK: PSK,
			LocalTS: []string{end.LocalTS}, RemoteTS: []string{end.RemoteTS},
			IKE: []string{end.Proposals}, ESP: []string{end.ESP},
		})
		if err != nil {
			return err
		}
		b.Peer = string(software) + " " + gw.Version()
		return gw.Start(ctx)
	}
}
