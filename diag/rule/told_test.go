package rule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// telling feeds a trace with lines of charon's log about one IKE SA.
func logged(lines ...string) *trace.Trace {
	t := trace.New(trace.Options{})
	for i, text := range lines {
		l := &event.Log{Group: "IKE", Level: 1, IKE: "gw", IKEID: 1, Text: text}
		vici.Recognise(l)
		t.Add(&event.Event{Time: begin.Add(time.Duration(i) * 10 * time.Millisecond), Log: l})
	}
	return t
}

// hello is how every attempt of ours begins in charon's log.
var outgoing = []string{
	"initiating IKE_SA gw[1] to 192.0.2.2",
	"generating IKE_SA_INIT request 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) N(FRAG_SUP) ]",
	"sending packet: from 192.0.2.1[500] to 192.0.2.2[500] (264 bytes)",
	"received packet: from 192.0.2.2[500] to 192.0.2.1[500] (264 bytes)",
	"parsed IKE_SA_INIT response 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) N(FRAG_SUP) ]",
	"generating IKE_AUTH request 1 [ IDi N(INIT_CONTACT) IDr AUTH SA TSi TSr ]",
	"sending packet: from 192.0.2.1[4500] to 192.0.2.2[4500] (264 bytes)",
}

// incoming is how every attempt of the peer's begins.
var incoming = []string{
	"received packet: from 192.0.2.2[500] to 192.0.2.1[500] (264 bytes)",
	"parsed IKE_SA_INIT request 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) N(FRAG_SUP) ]",
	"192.0.2.2 is initiating an IKE_SA",
	"generating IKE_SA_INIT response 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) N(FRAG_SUP) ]",
	"sending packet: from 192.0.2.1[500] to 192.0.2.2[500] (264 bytes)",
	"received packet: from 192.0.2.2[4500] to 192.0.2.1[4500] (264 bytes)",
	"parsed IKE_AUTH request 1 [ IDi N(INIT_CONTACT) IDr AUTH SA TSi TSr ]",
}

// refusing is how this side's refusal goes out.
var refusing = "generating IKE_AUTH response 1 [ N(AUTH_FAILED) ]"

func TestWhatCharonLogsNamesTheCauseAlone(t *testing.T) {
	for _, row := range []struct {
		before []string
		lines  []string
		want   string // the only finding: severity, id, confidence
	}{
		{nil, []string{"unable to resolve vpn.example, initiate aborted"}, "medium peer-dns-failed certain"},
		{nil, []string{"unable to bind socket: Address already in use"}, "critical daemon-socket-bind-failed certain"},
		{nil, []string{"ignoring IKE_SA setup from 192.0.2.2, per-IP half-open IKE_SA limit of 5 reached"}, "medium half-open-limit certain"},
		{nil, []string{"no IKE config found for 192.0.2.1...192.0.2.2, sending NO_PROPOSAL_CHOSEN"}, "high no-ike-config-for-peer certain"},
		{incoming[:3], []string{"received proposals unacceptable", "generating IKE_SA_INIT response 0 [ N(NO_PROP) ]"}, "high no-proposal-ike certain"},
		{incoming, []string{"tried 1 shared key for 'b.example' - 'a.example', but MAC mismatched", refusing}, "critical psk-mismatch certain > auth-failed-opaque"},
		{incoming, []string{"no shared key found for 'b.example' - 'a.example'", refusing}, "high psk-not-found certain > auth-failed-opaque"},
		{incoming, []string{"looking for peer configs matching 192.0.2.1[x.example]...192.0.2.2[a.example]", "no matching peer config found", refusing}, "high responder-no-peer-config certain > auth-failed-opaque"},
		{outgoing, []string{"received IDr c.example, but require b.example"}, "high idr-mismatch certain"},
		{incoming, []string{"constraint requires public key authentication, but pre-shared key was used", "no alternative config found", refusing}, "high auth-method-mismatch certain > auth-failed-opaque"},
		{incoming, []string{"cancelling IKE_SA setup due to uniqueness policy", refusing}, "high unique-policy-refused certain > auth-failed-opaque"},
		{incoming, []string{`no issuer certificate found for "CN=a.example"`, "no trusted RSA public key found for 'a.example'", refusing}, "high cert-untrusted-issuer certain > auth-failed-opaque cert-not-sent"},
		{incoming, []string{"subject certificate invalid (valid from Jan 01 00:00:00 2020 to Jan 01 00:00:00 2021)", refusing}, "critical cert-expired certain > auth-failed-opaque"},
		{incoming, []string{"subject certificate invalid (valid from Jan 01 00:00:00 2027 to Jan 01 00:00:00 2028)", refusing}, "high cert-not-yet-valid certain > auth-failed-opaque"},
		{incoming, []string{"certificate was revoked on Feb 01 00:00:00 UTC 2026, reason: key compromise", refusing}, "critical cert-revoked certain > auth-failed-opaque"},
		{incoming, []string{"certificate does not confirm identity 'a.example' (CN=other)", refusing}, "high cert-san-mismatch certain > auth-failed-opaque"},
		{incoming, []string{"rejecting certificate without digitalSignature or nonRepudiation keyUsage flags", refusing}, "high cert-eku-or-keyusage certain > auth-failed-opaque"},
		{incoming, []string{"constraint check failed: RULE_CRL_VALIDATION is SKIPPED, but requires at least GOOD", refusing}, "high crl-ocsp-unreachable certain > auth-failed-opaque"},
		{incoming, []string{"path length of 2 violates constraint of 1", refusing}, "high cert-path-policy certain > auth-failed-opaque"},
		{outgoing[:5], []string{"no private key found for 'a.example'"}, "high private-key-missing certain"},
		{outgoing, []string{"configured EAP-only authentication, but peer does not support it"}, "medium eap-only-not-supported certain"},
		{outgoing, []string{"EAP-MS-CHAPv2 failed with error ERROR_AUTHENTICATION_FAILURE: 'FAILED'"}, "medium mschapv2-bad-password certain"},
		{incoming, []string{"RADIUS Access-Request timed out after 4 attempts", refusing}, "high radius-not-responding certain > auth-failed-opaque"},
		{outgoing, []string{"received EAP_SUCCESS but failed to establish MSK"}, "medium eap-msk-or-auth-mismatch certain"},
		{incoming, []string{"traffic selectors 10.9.0.0/24 === 10.8.0.0/24 unacceptable", "failed to establish CHILD_SA, keeping IKE_SA"}, "high ts-unacceptable certain"},
		{outgoing, []string{"received TS_UNACCEPTABLE notify, no CHILD_SA built", "failed to establish CHILD_SA, keeping IKE_SA"}, "high ts-unacceptable certain"},
		{incoming, []string{"no matching proposal found, sending NO_PROPOSAL_CHOSEN", "failed to establish CHILD_SA, keeping IKE_SA"}, "high no-proposal-child-initial certain"},
		{outgoing, []string{"received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built"}, "high internal-address-failure certain"},
		{incoming, []string{"no virtual IP found for 0.0.0.0 requested by 'a.example'"}, "high internal-address-failure certain"},
		{incoming, []string{"expected a virtual IP request, sending FAILED_CP_REQUIRED"}, "high cp-required-or-missing certain"},
		{outgoing, []string{"installing virtual IP 10.3.0.1 failed"}, "medium vip-install-failed certain"},
		{outgoing, []string{"algorithm CHACHA20_POLY1305 not supported by kernel!", "unable to install inbound and outbound IPsec SA (SAD) in kernel"}, "critical kernel-algorithm-missing certain > sa-install-failed"},
		{outgoing, []string{"unable to install IPsec policies (SPD) in kernel"}, "high policy-or-if-id-missing certain"},
		{outgoing, []string{"not establishing CHILD_SA net{2} due to existing duplicate"}, "medium duplicate-child-sa certain"},
		{outgoing, []string{"unable to rekey, ESP CHILD_SA with SPI c0000001 not found"}, "medium child-sa-not-found certain"},
	} {
		t.Run(row.lines[0], func(t *testing.T) {
			tr := logged(append(append([]string{}, row.before...), row.lines...)...)
			found := diag.Diagnose(&diag.Facts{Source: "vici:test", Trace: tr, Now: tr.Last.Add(time.Second), Live: true}, rule.All())
			if d := cmp.Diff([]string{row.want}, brief(found)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, f := range found {
				checkTold(t, f)
			}
		})
	}
}

// checkTold holds what is true of every finding of a daemon or an engine:
// evidence has a time instead of a frame.
func checkTold(t *testing.T, f diag.Finding) {
	t.Helper()
	for i := range f.Evidence {
		if f.Evidence[i].Time.IsZero() {
			t.Errorf("%s: evidence without a time: %+v", f.ID, f.Evidence[i])
		}
		f.Evidence[i].Frame = 1
	}
	checkFinding(t, f)
}

func TestWhatOurOwnEngineComparedNamesTheCauseWithBothSidesValues(t *testing.T) {
	for _, row := range []struct {
		check event.Check
		want  string
	}{
		{event.Check{Kind: event.CheckProposal, What: "IKE proposals", Local: "aes256-sha256-modp2048", Remote: "aes256-sha256-ecp384"}, "high no-proposal-ike certain"},
		{event.Check{Kind: event.CheckProposal, What: "IKE proposals", Local: "aes256-sha256-ecp256", Remote: "aes128-sha256-ecp256"}, "medium keylength-mismatch certain"},
		{event.Check{Kind: event.CheckProposal, What: "ESP proposals", Local: "aes256gcm16", Remote: "aes128-sha256"}, "high no-proposal-child-initial certain"},
		{event.Check{Kind: event.CheckProposal, What: "ESP proposals", Local: "aes256gcm16-esn", Remote: "aes256gcm16"}, "medium esn-mismatch certain"},
		{event.Check{Kind: event.CheckKE, What: "group that the responder wants", Local: "ecp256", Remote: "ecp521"}, "high invalid-ke-loop certain"},
		{event.Check{Kind: event.CheckSelector, What: "TSr against child net", Local: "10.1.0.0/24", Remote: "10.9.0.0/24"}, "high ts-unacceptable certain"},
		{event.Check{Kind: event.CheckMode, What: "mode of child net", Local: "tunnel", Remote: "transport"}, "high transport-tunnel-mode-mismatch certain"},
		{event.Check{Kind: event.CheckIdentity, What: "IDr", Local: "b.example", Remote: "c.example"}, "high idr-mismatch certain"},
		{event.Check{Kind: event.CheckIdentity, What: "IDi for connection gw", Local: "a.example", Remote: "x.example"}, "high responder-no-peer-config certain"},
		{event.Check{Kind: event.CheckIdentity, What: "IDi for connection gw", Local: "fqdn:gw", Remote: "keyid:gw"}, "medium id-type-mismatch certain"},
		{event.Check{Kind: event.CheckIdentity, What: "IDi for connection gw", Local: "C=CH, O=Lab, CN=a", Remote: "CN=a, O=Lab, C=CH"}, "medium dn-order-or-encoding-mismatch certain"},
		{event.Check{Kind: event.CheckIdentity, What: "identity of the peer against its certificate", Local: "claimed b.example", Remote: "c.example"}, "high cert-san-mismatch certain"},
		{event.Check{Kind: event.CheckConnection, What: "connections for the addresses", Local: "gw", Remote: "192.0.2.9"}, "high no-ike-config-for-peer certain"},
		{event.Check{Kind: event.CheckMethod, What: "authentication method of b.example", Local: "RSA", Remote: "shared key"}, "high auth-method-mismatch certain"},
		{event.Check{Kind: event.CheckMAC, What: "AUTH of b.example", Local: "aa", Remote: "bb"}, "critical psk-mismatch certain"},
		{event.Check{Kind: event.CheckMAC, What: "pre-shared key", Why: "none for a.example with b.example"}, "high psk-not-found certain"},
		{event.Check{Kind: event.CheckSignature, What: "signature hash of b.example", Local: "SHA2-256", Remote: "SHA1"}, "high sig-hash-mismatch certain"},
		{event.Check{Kind: event.CheckCertificate, What: "dates of CN=b", Local: "it is 2026", Remote: "valid 2020 to 2021", Why: "it has expired"}, "critical cert-expired certain"},
		{event.Check{Kind: event.CheckCertificate, What: "dates of CN=b", Local: "it is 2026", Remote: "valid 2027 to 2028", Why: "not valid yet: its time begins in 24h0m0s; or the clock of this side is slow"}, "high cert-not-yet-valid certain"},
		{event.Check{Kind: event.CheckCertificate, What: "key usage of CN=b", Local: "digitalSignature", Remote: "keyCertSign"}, "high cert-eku-or-keyusage certain"},
		{event.Check{Kind: event.CheckCertificate, What: "chain of CN=b", Local: "trusted are CN=CA", Remote: "CN=b, issued by CN=Other"}, "high cert-untrusted-issuer certain"},
		{event.Check{Kind: event.CheckMessageID, What: "message id", Local: "2", Remote: "7"}, "medium message-id-desync likely"},
		{event.Check{Kind: event.CheckUnique, What: "IKE SAs with b.example", Local: "keep", Remote: "another"}, "medium unique-policy-refused certain"},
	} {
		t.Run(row.want+" "+row.check.What, func(t *testing.T) {
			tr := trace.New(trace.Options{})
			c := row.check
			c.SPIi = 0xa1
			tr.Add(&event.Event{Time: begin, Change: &event.Change{Kind: event.IKEUp, SA: &engine.IKESA{Name: "gw", UniqueID: 1, Version: 2, State: engine.IKEConnecting,
				InitiatorSPI: 0xa1, Local: engine.Side{Host: alice}, Remote: engine.Side{Host: bob}}}})
			tr.Add(&event.Event{Time: begin, Check: &c})
			held := c
			held.OK = true
			tr.Add(&event.Event{Time: begin, Check: &held})
			found := diag.Diagnose(&diag.Facts{Source: "engine:test", Trace: tr, Now: tr.Last}, rule.All())
			if d := cmp.Diff([]string{row.want}, brief(found)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, f := range found {
				checkTold(t, f)
				if f.Subject.Connection != "gw" || f.Subject.Remote != bob.String() {
					t.Errorf("subject %+v", f.Subject)
				}
			}
		})
	}
}

func TestAComparisonThatHeldIsNoFault(t *testing.T) {
	tr := trace.New(trace.Options{})
	for _, k := range []event.CheckKind{event.CheckProposal, event.CheckMAC, event.CheckIdentity, event.CheckCertificate} {
		tr.Add(&event.Event{Time: begin, Check: &event.Check{Kind: k, What: "IDr", OK: true}})
	}
	if found := diag.Diagnose(&diag.Facts{Trace: tr, Now: begin}, rule.All()); len(found) > 0 {
		t.Error(fmt.Sprint(brief(found)))
	}
}
