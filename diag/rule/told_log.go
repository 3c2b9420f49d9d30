package rule

import (
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// own, theirs and key name owners shortly.
const (
	own    = diag.LocalConfig
	theirs = diag.PeerConfig
)

// failureTellings are the failures of a daemon's log, by event.LogFailure's
// kinds.
var failureTellings = []telling{
	// Reaching the peer.
	{kind: "dns", id: "peer-dns-failed", says: "the name {name} does not resolve: nothing is sent to the peer"},
	{kind: "no-route", id: "route-missing", says: "there is no route to {peer}"},
	{kind: "send", id: "route-missing", when: says("why", "unreachable"), says: "this host cannot send to the peer: {why}"},
	{kind: "socket", id: "daemon-socket-bind-failed", says: "the daemon cannot use its UDP port: {why}"},
	{kind: "limit", id: "half-open-limit", says: "attempts are refused by a limit of ours: {why}"},
	{kind: "half-open-timeout", id: "half-open-responder", conf: diag.Likely, surer: "a capture on the initiator's side",
		says: "the peer begins, gets our answer to IKE_SA_INIT, and is not heard again"},
	{kind: "version", id: "ikev1-only-peer", conf: diag.Likely, surer: "a capture", says: "the peer speaks IKE version {version}, which this side does not"},
	{kind: "integrity", id: "malformed-or-garbled-message", conf: diag.Likely, surer: "a capture on both sides", says: "messages arrive changed: their integrity check fails"},
	{kind: "critical-payload", id: "unsupported-critical-payload", says: "the peer marks a payload as critical that this side does not know ({type})"},

	// Algorithms.
	{kind: "no-ike-config", id: "no-ike-config-for-peer", own: own, says: "no connection here is for {local} with {remote}: it is answered {notify}",
		fix: []diag.Remedy{swan("local", "connections.<c>.local_addrs = {local}; connections.<c>.remote_addrs = {remote}")}},
	{kind: "proposals-ike", id: "no-proposal-ike", own: own, says: "{us} and {peer} have no IKE proposal in common"},
	{kind: "proposals-child", id: "no-proposal-child-initial", when: firstChild, own: own, says: "{us} and {peer} have no ESP proposal in common"},
	{kind: "ke-not-offered", id: "invalid-ke-loop", own: theirs, says: "the peer wants the group {requested}, which this side does not offer"},
	{kind: "ke-unsupported", id: "invalid-ke-loop", says: "the peer wants the group {requested}, which this daemon cannot do"},
	{kind: "ke-loop", id: "invalid-ke-loop", says: "the peer asks for the group {requested} again and again"},
	{kind: "ppk", id: "ppk-mismatch", says: "the post-quantum preshared key does not fit: {text}"},
	{kind: "childless", id: "childless-mismatch", says: "this side wants an IKE SA without a CHILD SA first, and the peer does not do that"},

	// Identities and shared keys.
	{kind: "psk-mismatch", id: "psk-mismatch", says: "the shared keys of '{local}' and '{remote}' differ",
		fix: []diag.Remedy{swan("both", `secrets.ike-<x> { id = {remote}; secret = "<exactly the same on both sides>" }`)}},
	{kind: "psk-not-found", id: "psk-not-found", says: "there is no shared key here for '{local}' with '{remote}'",
		fix: []diag.Remedy{swan("local", `secrets.ike-<x> { id = {remote}; secret = "<the same as on the peer>" }`)}},
	{kind: "no-peer-config", id: "responder-no-peer-config", when: textHas("no matching"), own: own, says: "no connection here fits the identities that {peer} claims and asks for"},
	{kind: "idr-mismatch", id: "idr-mismatch", own: own, says: "{peer} says that it is {received}; required here is {required}",
		fix: []diag.Remedy{swan("local", "connections.<c>.remote.id = {received}"), swan("remote", "connections.<c>.local.id = {required}")}},
	{kind: "constraint", id: "idr-mismatch", when: says("why", "identity"), own: own, says: "{peer} has another identity than required: {why}"},
	{kind: "constraint", id: "cert-path-policy", when: says("why", "policy"), says: "the peer's certificate breaks a rule of ours: {why}"},
	{kind: "constraint", id: "auth-method-mismatch", when: func(k *fact) bool {
		return strings.Contains(k.detail["why"], "authentication") || strings.Contains(k.detail["why"], "EAP")
	}, says: "the peer authenticates otherwise than required: {why}"},
	{kind: "constraint-auth", id: "auth-method-mismatch", own: own, says: "{peer} authenticates by {used}; required here is {required}"},
	{kind: "eap-not-configured", id: "auth-method-mismatch", own: theirs, says: "{peer} asks for EAP and is not set to get it"},
	{kind: "unique-refused", id: "unique-policy-refused", says: "this side keeps the older IKE SA with the same identity and refuses the new one (unique = keep)"},

	// Certificates.
	{kind: "cert-no-issuer", id: "cert-untrusted-issuer", own: diag.Credential, says: "the issuer of \"{subject}\" is not known here"},
	{kind: "cert-untrusted-root", id: "cert-untrusted-issuer", own: diag.Credential, says: "\"{subject}\" signs itself and is not trusted here"},
	{kind: "cert-validity", id: "cert-expired", when: every(expired, says("which", "issuer")), says: "an authority above the certificate of {peer} expired on {to}; it was valid from {from}"},
	{kind: "cert-validity", id: "cert-expired", when: expired, says: "the certificate of {peer} expired on {to}; it was valid from {from}"},
	{kind: "cert-validity", id: "cert-not-yet-valid", when: says("which", "issuer"), says: "an authority above the certificate of {peer} is valid from {from} only, to {to}"},
	{kind: "cert-validity", id: "cert-not-yet-valid", says: "the certificate of {peer} is valid from {from} only, to {to}"},
	{kind: "cert-revoked", id: "cert-revoked", says: "the certificate was revoked on {when}: {why}"},
	{kind: "cert-identity", id: "cert-san-mismatch", says: "the certificate does not name the identity '{id}'"},
	{kind: "cert-key-usage", id: "cert-eku-or-keyusage", says: "the certificate's key is not for signatures"},
	{kind: "cert-path", id: "cert-path-policy", says: "an authority of the chain may not issue this certificate: {text}"},
	{kind: "constraint", id: "crl-ocsp-unreachable", when: says("why", "_VALIDATION"), says: "revocation has to be known here, and cannot be found out: {why}"},
	{kind: "cert-status", id: "crl-ocsp-unreachable", sev: diag.Info, conf: diag.Hint, surer: "revocation = strict in the configuration makes it a reason to refuse", says: "whether the certificate was revoked cannot be found out: {status}"},
	{kind: "crl-fetch", id: "crl-ocsp-unreachable", conf: diag.Likely, sev: diag.Low, surer: "revocation = strict or relaxed in the configuration", says: "the revocation list cannot be fetched"},
	{kind: "ocsp-fetch", id: "crl-ocsp-unreachable", conf: diag.Likely, sev: diag.Low, surer: "revocation = strict or relaxed in the configuration", says: "the OCSP responder {uri} does not answer"},
	{kind: "no-trusted-key", id: "cert-not-sent", when: withoutCert, conf: diag.Likely, surer: "whether this side has that certificate already", says: "{peer} signs as '{id}' and sends no certificate, and none is here that proves it"},
	{kind: "no-trusted-key", id: "cert-untrusted-issuer", conf: diag.Likely, surer: "the certificate that the peer sends, if it sends one", says: "no certificate that is trusted here proves '{id}'"},
	{kind: "no-private-key", id: "private-key-missing", says: "there is no private key here for '{id}'"},
	{kind: "key-unreadable", id: "private-key-missing", says: "a private key cannot be read"},
	{kind: "signature-hash", id: "sig-hash-mismatch", says: "the peer accepts no hash that this side can sign with ({type})"},

	// EAP.
	{kind: "eap-method", id: "eap-method-mismatch", says: "the two sides have no EAP method in common: {text}"},
	{kind: "eap-only", id: "eap-only-not-supported", says: "this side wants EAP alone and the peer does not do that"},
	{kind: "eap-identity", id: "eap-identity-problem", says: "the EAP identity '{received}' is not '{id}', which is required"},
	{kind: "mschapv2-failed", id: "mschapv2-bad-password", says: "user name or password are wrong (EAP-MSCHAPv2)"},
	{kind: "eap-no-secret", id: "mschapv2-bad-password", says: "there is no EAP password here for '{server}'"},
	{kind: "radius-timeout", id: "radius-not-responding", says: "the RADIUS server does not answer"},
	{kind: "eap-msk", id: "eap-msk-or-auth-mismatch", says: "EAP succeeds and its key does not fit the peer's proof"},

	// What this side has configured.
	{kind: "proposal-config", id: "prf-or-aead-config-error", says: "a proposal in the configuration of this side is none: {text}"},

	// The peer's refusals, where the log tells no message.
	{kind: "notify", id: "no-proposal-ike", when: every(notified("NO_PROPOSAL_CHOSEN"), inInit), own: theirs, conf: diag.Likely,
		surer: "the peer's log: it says the same where it has no connection for our address", says: "{peer} accepts none of our IKE proposals"},
	{kind: "notify", id: "auth-failed-opaque", when: every(notified("AUTHENTICATION_FAILED"), unexplained), conf: diag.Likely, surer: "the peer's log; or let the peer call us",
		says: "{peer} refused our authentication"},
	{kind: "child-notify", id: "ts-unacceptable", when: notified("TS_UNACCEPTABLE"), own: theirs, says: "{peer} refuses our traffic selectors"},
	{kind: "child-notify", id: "no-proposal-child-initial", when: every(notified("NO_PROPOSAL_CHOSEN"), firstChild), own: theirs, says: "{peer} accepts none of our ESP proposals"},
	{kind: "child-notify", id: "internal-address-failure", when: notified("INTERNAL_ADDRESS_FAILURE"), own: theirs, says: "{peer} has no virtual address for us"},
	{kind: "child-notify", id: "cp-required-or-missing", when: notified("FAILED_CP_REQUIRED"), own: own, says: "{peer} insists that we ask for a virtual address"},
	{kind: "child-notify", id: "no-additional-sas", when: notified("NO_ADDITIONAL_SAS"), own: theirs, says: "{peer} accepts no further CHILD SA in this IKE SA"},
	{kind: "child-notify", id: "ts-multi-subnet-unsupported", when: notified("SINGLE_PAIR_REQUIRED"), own: theirs, says: "{peer} takes one pair of selectors for each CHILD SA"},

	// CHILD SAs.
	{kind: "ts-unacceptable", id: "ts-any-vs-proxy-id", when: asksForAll, own: own, conf: diag.Likely, surer: "the children here: have they networks written out on purpose?",
		says: "{peer} asks for everything ({local} === {remote}), as a route-based tunnel does, and no child here takes that"},
	{kind: "ts-unacceptable", id: "ts-unacceptable", own: own, says: "the traffic selectors that {peer} wants fit no child here: {text}"},
	{kind: "mode-mismatch", id: "transport-tunnel-mode-mismatch", says: "{peer} wants {mode} mode, which is not what is configured here"},
	{kind: "child-duplicate", id: "duplicate-child-sa", says: "a CHILD SA for the same stands already: {why}"},
	{kind: "no-virtual-ip", id: "internal-address-failure", own: own, says: "there is no virtual address here for {peer}"},
	{kind: "cp-required", id: "cp-required-or-missing", own: theirs, says: "{peer} does not ask for a virtual address, and this side insists"},
	{kind: "cp-failed", id: "internal-address-failure", conf: diag.Likely, surer: "the peer's log", says: "{peer} gives no virtual address"},
	{kind: "vip-install", id: "vip-install-failed", says: "the virtual address {address} cannot be installed on this host"},
	{kind: "sa-install", id: "sa-install-failed", says: "the kernel refuses the CHILD SA: {text}"},
	{kind: "policy-install", id: "policy-or-if-id-missing", says: "the kernel refuses the policies of the CHILD SA"},
	{kind: "kernel-algorithm", id: "kernel-algorithm-missing", says: "this host's kernel does not know {algorithm}",
		fix: []diag.Remedy{swan("local", "connections.<c>.children.<k>.esp_proposals = aes256gcm16   (not {algorithm})")}},
	{kind: "path-probing", id: "mobike-address-change-failed", says: "after a change of address no path to {peer} was found"},
}

// asksForAll says that the selectors which a log or our own engine refuses are
// the whole of IPv4 or IPv6 on some side.
func asksForAll(k *fact) bool {
	for _, side := range []string{"local", "remote"} {
		for _, ts := range strings.FieldsFunc(k.detail[side], func(r rune) bool { return r == ' ' || r == ',' }) {
			if ts == "0.0.0.0/0" || ts == "::/0" {
				return true
			}
		}
	}
	return false
}

// firstChild says that it is no rekeying that failed: that has rules of its
// own.
func firstChild(k *fact) bool {
	if k.sa == nil {
		return true
	}
	for i := len(k.sa.Exchanges) - 1; i >= 0; i-- {
		if x := k.sa.Exchanges[i]; x.Type == wire.ExchangeCreateChildSA {
			return x.Purpose != trace.PurposeRekeyChild && x.Purpose != trace.PurposeRekeyIKE
		}
	}
	return true
}

// unexplained says that the trace holds no message with the notify: the rules
// on messages know more.
func unexplained(k *fact) bool {
	if k.sa == nil {
		return true
	}
	return refusedAuth(k.sa) == nil
}

// expired says that the end of a certificate's time lies before the line. The
// daemon writes dates as "Nov 21 06:42:47 2026" in its own zone; a year is
// enough where they are further apart, else the line itself decides.
func expired(k *fact) bool {
	to, ok := logDate(k.detail["to"])
	return !ok || !k.time.Before(to)
}

// stepTellings are the other lines of a daemon's log, and our own engine's
// steps.
var stepTellings = []telling{
	{kind: "duplicate", id: "duplicate-ike-sa", conf: diag.Likely, sev: diag.Info, surer: "whether both sides begin at the same time", says: "a second IKE SA with the same identities was removed"},
	{kind: "message-id", id: "message-id-desync", when: outOfStep, conf: diag.Likely, surer: "a capture", says: "message ids are out of step: received {received}, expected {expected}"},
	{kind: "child-gone", id: "child-sa-not-found", says: "{peer} rekeys a CHILD SA that is not here any more (SPI {spi})"},
	{kind: "pool-full", id: "internal-address-failure", own: own, says: "the pool {pool} has no address left"},
}

// withoutCert says that the peer, an initiator, proved itself in a message that
// held no certificate.
func withoutCert(k *fact) bool {
	if k.sa == nil || len(k.sa.Auth) == 0 || k.sa.Auth[0].By != trace.Initiator || k.sa.Auth[0].Request == nil {
		return false
	}
	list := k.sa.Auth[0].Request.Payloads
	return wire.First(list, wire.PayloadAuth) != nil && wire.First(list, wire.PayloadCert) == nil && !k.sa.Initiator.Or(true)
}

// outOfStep says that a message's id is neither the awaited one nor the one
// before it: that comes when a request was repeated before its answer came.
func outOfStep(k *fact) bool {
	received, err := strconv.ParseUint(k.detail["received"], 10, 32)
	expected, other := strconv.ParseUint(k.detail["expected"], 10, 32)
	return err != nil || other != nil || received+1 != expected
}

// alertTellings are the alerts of strongSwan 6.0.3 and later that say more
// than that something failed.
var alertTellings = []telling{
	{kind: "peer-addr-failed", id: "peer-dns-failed", says: "the peer's address cannot be resolved"},
	{kind: "radius-not-responding", id: "radius-not-responding", says: "the RADIUS server does not answer"},
	{kind: "cert-expired", id: "cert-expired", conf: diag.Likely, surer: "the dates in the log: the alert means too early, too", says: "a certificate of {peer} is outside its dates"},
	{kind: "cert-revoked", id: "cert-revoked", says: "a certificate of {peer} was revoked"},
	{kind: "cert-no-issuer", id: "cert-untrusted-issuer", says: "the issuer of {peer}'s certificate is not known here"},
	{kind: "cert-untrusted-root", id: "cert-untrusted-issuer", says: "the root of {peer}'s certificate is not trusted here"},
	{kind: "cert-exceeded-path-len", id: "cert-path-policy", says: "the chain of {peer}'s certificate is longer than its authority allows"},
	{kind: "cert-policy-violation", id: "cert-path-policy", says: "the chain of {peer}'s certificate breaks a policy"},
	{kind: "install-child-sa-failed", id: "sa-install-failed", says: "the kernel refuses the CHILD SA"},
	{kind: "install-child-policy-failed", id: "policy-or-if-id-missing", says: "the kernel refuses the policies of the CHILD SA"},
	{kind: "unique-keep", id: "unique-policy-refused", says: "this side keeps the older IKE SA with the same identity and refuses the new one (unique = keep)"},
	{kind: "vip-failure", id: "internal-address-failure", conf: diag.Likely, surer: "the log", says: "no virtual address was agreed with {peer}"},
	{kind: "invalid-ike-spi", id: "invalid-ike-spi", says: "a peer sends messages of an IKE SA that is not here"},
	{kind: "half-open-timeout", id: "half-open-responder", conf: diag.Likely, surer: "a capture on the initiator's side", says: "the peer begins, gets our answer to IKE_SA_INIT, and is not heard again"},
	{kind: "retransmit-send-timeout", id: "no-response-to-sa-init", when: inInit, conf: diag.Likely, surer: "a capture on the peer's side", says: "{peer} does not answer IKE_SA_INIT"},
	{kind: "proposal-mismatch-ike", id: "no-proposal-ike", when: inInit, says: "{us} and {peer} have no IKE proposal in common"},
	{kind: "proposal-mismatch-child", id: "no-proposal-child-initial", when: firstChild, says: "{us} and {peer} have no ESP proposal in common"},
	{kind: "ts-mismatch", id: "ts-unacceptable", says: "{us} and {peer} have no traffic selectors in common"},
}

// toldAfter are the causes whose presence makes an id a consequence, where a
// daemon tells both.
var toldAfter = map[string][]string{
	"auth-failed-opaque":        {"mschapv2-bad-password", "psk-mismatch", "psk-not-found", "responder-no-peer-config", "idr-mismatch", "cert-untrusted-issuer", "cert-revoked", "cert-eku-or-keyusage", "cert-path-policy", "private-key-missing", "unique-policy-refused", "eap-identity-problem", "eap-only-not-supported", "eap-msk-or-auth-mismatch", "radius-not-responding", "crl-ocsp-unreachable", "id-type-mismatch", "dn-order-or-encoding-mismatch"},
	"idr-mismatch":              {"cert-untrusted-issuer", "cert-revoked", "cert-eku-or-keyusage", "psk-mismatch", "psk-not-found", "auth-method-mismatch", "crl-ocsp-unreachable", "cert-path-policy", "mschapv2-bad-password", "eap-method-mismatch", "private-key-missing"},
	"auth-method-mismatch":      {"psk-mismatch", "cert-expired", "cert-not-yet-valid", "cert-untrusted-issuer", "cert-revoked", "private-key-missing", "cert-path-policy"},
	"cert-untrusted-issuer":     {"cert-expired", "cert-not-yet-valid", "cert-revoked", "cert-san-mismatch", "cert-eku-or-keyusage", "cert-path-policy", "crl-ocsp-unreachable"},
	"responder-no-peer-config":  {"psk-mismatch", "auth-method-mismatch", "eap-method-mismatch"},
	"no-proposal-ike":           {"prf-or-aead-config-error", "no-ike-config-for-peer", "keylength-mismatch", "invalid-ke-loop", "ikev1-only-peer"},
	"ts-unacceptable":           {"ts-any-vs-proxy-id", "internal-address-failure", "cp-required-or-missing"},
	"sa-install-failed":         {"kernel-algorithm-missing"},
	"policy-or-if-id-missing":   {"sa-install-failed"},
	"half-open-responder":       {"udp4500-blocked", "auth-phase-silent", "ike-auth-ip-fragment-loss", "sa-init-response-lost", "ike-fragment-incomplete", "udp4500-one-way"},
	"crl-ocsp-unreachable":      {"cert-expired", "cert-revoked"},
	"cert-not-sent":             {"cert-untrusted-issuer", "cert-expired", "cert-not-yet-valid", "cert-revoked", "cert-san-mismatch", "cert-eku-or-keyusage", "cert-path-policy", "crl-ocsp-unreachable"},
	"internal-address-failure":  {"vip-install-failed"},
	"no-response-to-sa-init":    {"forwarding-firewall-rpfilter", "route-missing", "daemon-socket-bind-failed", "peer-dns-failed"},
	"udp4500-blocked":           {"route-missing", "forwarding-firewall-rpfilter"},
	"eap-method-mismatch":       {"mschapv2-bad-password", "eap-identity-problem"},
	"mschapv2-bad-password":     {"radius-not-responding"},
	"ike-delete-unexplained":    {"initial-contact-kills-sibling", "unique-policy-refused"},
	"no-proposal-child-initial": {"kernel-algorithm-missing", "sa-install-failed", "pfs-mismatch-at-rekey"},
	"esp-no-traffic-both":       {"sa-install-failed", "policy-or-if-id-missing", "forwarding-firewall-rpfilter", "snat-before-ipsec", "route-missing", "stale-policy-claims-traffic", "ipsec-alg-passthrough", "esp-proto50-blocked"},
	"esp-one-way-in":            {"forwarding-firewall-rpfilter", "snat-before-ipsec", "route-missing", "stale-policy-claims-traffic"},
	"esp-one-way-out":           {"natt-off-with-nat", "esp-proto50-blocked", "forwarding-firewall-rpfilter", "policy-or-if-id-missing"},
	"dpd-timeout":               {"route-missing"},
}
