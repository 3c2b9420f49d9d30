package lab

import (
	"context"
	"time"
)

// givesUp initiates and waits until the initiator has used up its
// retransmissions.
func givesUp(ctx context.Context, b *Bench) error {
	if err := refused(ctx, b); err != nil {
		return err
	}
	return Eventually(ctx, time.Minute, "the initiator to give up", func() bool {
		return b.A.LogHas("giving up after 3 retransmits")
	})
}

const quickNote = "Retransmissions are at a tenth of strongSwan's default intervals: 0.4 s growing by 1.8, three times."

// silenceScenarios are requests that never get an answer.
func silenceScenarios() []Scenario {
	return []Scenario{
		{
			Name: "no-response-to-sa-init", Shows: "Nothing answers IKE_SA_INIT: a firewall before the peer drops UDP 500.",
			Expect: []string{"no-response-to-sa-init"}, Notes: []string{quickNote}, Quick: true,
			Ends: func(_, b *End) error {
				b.Absent = true
				return nil
			},
			Prepare: func(ctx context.Context, b *Bench) error { return b.NSB.NFT(ctx, dropAll) },
			Act:     givesUp,
		},
		{
			Name: "udp4500-blocked", Shows: "IKE_SA_INIT is answered on port 500, but nothing gets through on port 4500.",
			Expect: []string{"udp4500-blocked"}, Notes: []string{quickNote}, Quick: true,
			Prepare: func(ctx context.Context, b *Bench) error { return b.NSB.NFT(ctx, dropInput("udp dport 4500")) },
			Act:     givesUp,
		},
		{
			Name: "ike-auth-ip-fragment-loss", Shows: "IKE fragmentation is off and RSA 4096 chains make IKE_AUTH leave as IP fragments, which a firewall before the peer drops.",
			Expect: []string{"ike-auth-ip-fragment-loss"}, Notes: []string{quickNote}, Quick: true,
			Ends: func(a, b *End) error {
				a.Conn = append(a.Conn, "fragmentation = no")
				b.Conn = append(b.Conn, "fragmentation = no")
				return UseCertificates(a, b, RSA(4096), 2)
			},
			Prepare: func(ctx context.Context, b *Bench) error {
				return b.NSB.NFT(ctx, dropInput("ip frag-off & 0x3fff != 0"))
			},
			Act: givesUp,
		},
	}
}

// dropInput has an end not take in what an nftables match names, before any
// reassembly.
func dropInput(match string) string {
	return "table inet lost {\n chain in {\n type filter hook prerouting priority -450\n " + match + " drop\n }\n}\n"
}
