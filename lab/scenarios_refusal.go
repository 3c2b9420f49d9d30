package lab

import (
	"context"
	"time"
)

// refused initiates and wants that to fail.
func refused(ctx context.Context, b *Bench) error {
	_, err := b.Initiate(ctx)
	return MustFail("the tunnel", err)
}

// refusalScenarios are tunnels that one end refuses, or agrees to only after
// asking for something.
func refusalScenarios() []Scenario {
	return []Scenario{
		{
			Name: "cookie", Shows: "The responder, busy with a half-open SA, asks for a cookie; the initiator returns it and the tunnel comes up.",
			Ends: func(_, b *End) error {
				b.Daemon.Options = append(b.Daemon.Options, "cookie_threshold = 1")
				return nil
			},
			Prepare: LeaveHalfOpen,
		},
		{
			Name: "invalid-ke-payload", Shows: "The initiator guesses ECP 256, the responder asks for Curve25519 by INVALID_KE_PAYLOAD, and the tunnel comes up with that.",
			Ends: func(a, b *End) error {
				a.Proposals = "aes256gcm16-prfsha256-ecp256-curve25519"
				b.Proposals = "aes256gcm16-prfsha256-curve25519"
				return nil
			},
		},
		{
			Name: "no-proposal-ike", Shows: "The ends share no key exchange group for IKE: the responder answers IKE_SA_INIT with NO_PROPOSAL_CHOSEN.",
			Expect: []string{"no-proposal-ike"}, Act: refused,
			Ends: func(a, b *End) error {
				a.Proposals, b.Proposals = "aes256-sha256-modp2048", "aes256-sha256-ecp384"
				return nil
			},
		},
		{
			Name: "no-proposal-child", Shows: "The IKE SA comes up, but the ends share no ESP algorithms: no child SA is made.",
			Expect: []string{"no-proposal-child-initial"}, Act: refused,
			Notes: []string{"Without keys this looks like any other refusal of the child: IKE_AUTH answered, no ESP."},
			Ends: func(a, b *End) error {
				a.ESP, b.ESP = "aes256gcm16", "aes128-sha256"
				return nil
			},
		},
		{
			Name: "wrong-psk", Shows: "The ends have different pre-shared keys: the responder answers IKE_AUTH with AUTHENTICATION_FAILED.",
			Expect: []string{"auth-failed-opaque"}, Act: refused,
			Ends: func(_, b *End) error {
				b.Secrets = []string{"ike-lab {\nsecret = \"another secret\"\n}"}
				return nil
			},
		},
		{
			Name: "wrong-identity", Shows: "The initiator asks for an identity that the responder does not have: AUTHENTICATION_FAILED.",
			Expect: []string{"auth-failed-opaque"}, Act: refused,
			Ends: func(a, _ *End) error {
				a.Remote.ID = "somebody-else.lab"
				return nil
			},
		},
		{
			Name: "ts-unacceptable", Shows: "The responder knows other networks than the initiator proposes: TS_UNACCEPTABLE, no child SA.",
			Expect: []string{"ts-unacceptable"}, Act: refused,
			Notes: []string{"Without keys this looks like any other refusal of the child: IKE_AUTH answered, no ESP."},
			Ends: func(_, b *End) error {
				b.LocalTS, b.RemoteTS = "172.16.5.0/24", "172.16.6.0/24"
				return nil
			},
		},
		{
			Name: "ikev1-only-peer", Shows: "The responder is set to IKEv1 only: it refuses IKEv2, and when it begins itself it speaks IKEv1, which the other end refuses.",
			Expect: []string{"ikev1-only-peer"},
			Notes:  []string{"strongSwan refuses the other version with NO_PROPOSAL_CHOSEN, in the version of the request; the peer's own IKEv1 request is what tells."},
			Ends: func(a, b *End) error {
				a.Proposals, b.Proposals = "aes256-sha256-modp2048", "aes256-sha256-modp2048"
				b.Version, b.RemoteAddrs = "1", outerA4
				return nil
			},
			Act: func(ctx context.Context, b *Bench) error {
				if err := refused(ctx, b); err != nil {
					return err
				}
				_, err := b.B.Swanctl(ctx, "--initiate", "--child", "net", "--timeout", "5")
				return MustFail("IKEv1 towards an IKEv2 peer", err)
			},
		},
		{
			Name: "ikev1-only-peer-scripted", Shows: "The peer knows IKEv1 only and answers IKE_SA_INIT with an IKEv1 INVALID-MAJOR-VERSION notification.",
			Expect:   []string{"ikev1-only-peer"},
			Scripted: "The responder is a script: strongSwan knows both versions.",
			Prepare:  scripted(answerInvalidMajorVersion), Act: unanswered, Quick: true,
		},
		{
			Name: "invalid-ke-loop", Shows: "The peer asks for another group each time, in turn two that were both offered, until the initiator gives up.",
			Expect:   []string{"invalid-ke-loop"},
			Scripted: "The responder is a script: strongSwan does not contradict itself.",
			Ends: func(a, _ *End) error {
				a.Proposals = "aes256gcm16-prfsha256-ecp256-curve25519"
				return nil
			},
			Prepare: scripted(answerInvalidKE), Act: unanswered,
		},
		{
			Name: "cookie-loop", Shows: "The peer answers every IKE_SA_INIT with a new cookie, also when the last one is returned, until the initiator gives up.",
			Expect:   []string{"cookie-loop"},
			Scripted: "The responder is a script: it stands for a cluster whose nodes do not share the cookie secret.",
			Prepare:  scripted(answerCookie), Act: unanswered,
		},
	}
}

// LeaveHalfOpen makes the responder hold one IKE SA that was begun and not
// finished.
func LeaveHalfOpen(ctx context.Context, b *Bench) error {
	block := "table inet once {\n chain out {\n type filter hook output priority 0\n udp dport 4500 drop\n }\n}\n"
	if err := b.NSA.NFT(ctx, block); err != nil {
		return err
	}
	_, err := b.A.Swanctl(ctx, "--initiate", "--child", "net", "--timeout", "1")
	if err := MustFail("the blocked tunnel", err); err != nil {
		return err
	}
	if _, err := b.A.Swanctl(ctx, "--terminate", "--ike", "gw", "--force"); err != nil {
		return err
	}
	// What is still queued at the blocked socket must not enter the capture.
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	return b.NSA.NFT(ctx, "delete table inet once\n")
}

// unanswered initiates towards a scripted peer and wants no tunnel from it.
func unanswered(ctx context.Context, b *Bench) error {
	_, err := b.A.Swanctl(ctx, "--initiate", "--child", "net", "--timeout", "6")
	return MustFail("the tunnel with a scripted peer", err)
}
