package rule

import (
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
)

// checkTellings are the comparisons of our own engine's that failed, by
// event.CheckKind. Both sides' values stand in them, so that most are certain.
var checkTellings = []telling{
	{kind: "proposal", id: "keylength-mismatch", when: onlyLengthsDiffer, says: "{us} and {peer} offer the same cipher in different key lengths: {local} here, {remote} there"},
	{kind: "proposal", id: "esn-mismatch", when: onlyESNDiffers, says: "one side wants extended sequence numbers and the other does not: {local} here, {remote} on {peer}"},
	{kind: "proposal", id: "no-proposal-ike", when: every(says("what", "IKE"), wholeProposal), own: own, says: "no IKE proposal in common: {local} here, {remote} on {peer}",
		fix: []diag.Remedy{swan("local", "connections.<c>.proposals = {remote}")}},
	{kind: "proposal", id: "no-proposal-child-initial", when: every(says("what", "ESP"), wholeProposal), own: own, says: "no ESP proposal in common: {local} here, {remote} on {peer}",
		fix: []diag.Remedy{swan("local", "connections.<c>.children.<k>.esp_proposals = {remote}")}},
	{kind: "ke", id: "invalid-ke-loop", when: says("what", "that the responder wants"), own: theirs, says: "{peer} wants the group {remote}, which is not offered here ({local})"},
	{kind: "ke", id: "pfs-mismatch-at-rekey", when: says("what", "that the peer wants"), says: "{peer} wants the group {remote} for the CHILD SA; here it is {local}"},
	{kind: "selector", id: "ts-any-vs-proxy-id", when: every(says("what", "against child"), asksForAll), own: own, conf: diag.Likely, surer: "the child here: has it networks written out on purpose?",
		says: "{what}: {peer} asks for everything ({remote}), as a route-based tunnel does; here it is {local}"},
	{kind: "selector", id: "ts-unacceptable", when: says("what", "against child"), own: own, says: "{what}: {peer} wants {remote}, here it is {local}",
		fix: []diag.Remedy{swan("local", "connections.<c>.children.<k>.local_ts, remote_ts: what the peer has as remote and local ({remote})")}},
	{kind: "selector", id: "ts-unacceptable", says: "{what}: {peer} answers {remote}, which lies outside of {local}"},
	{kind: "mode", id: "transport-tunnel-mode-mismatch", says: "{what}: {local} here, {remote} on {peer}"},
	{kind: "identity", id: "cert-san-mismatch", when: says("what", "against its certificate"), says: "{peer}'s certificate is for {remote}; {local}"},
	{kind: "identity", id: "id-type-mismatch", when: sameWordsOtherType, root: true, says: "identities of the same words and different types: {local} here, {remote} from {peer}"},
	{kind: "identity", id: "dn-order-or-encoding-mismatch", when: sameNameOtherOrder, root: true, says: "the same distinguished name in another order or encoding: {local} here, {remote} from {peer}"},
	{kind: "identity", id: "responder-no-peer-config", when: says("what", "IDr for connection"), own: own, root: true, says: "{what}: {peer} asks for {remote}, this side is {local}",
		fix: []diag.Remedy{swan("local", "connections.<c>.local.id = {remote}"), swan("remote", "connections.<c>.remote.id = {local}")}},
	{kind: "identity", id: "idr-mismatch", when: says("what", "IDr"), own: own, root: true, says: "{what}: {local} is wanted here, {remote} came from {peer}",
		fix: []diag.Remedy{swan("local", "connections.<c>.remote.id = {remote}"), swan("remote", "connections.<c>.local.id = {local}")}},
	{kind: "identity", id: "responder-no-peer-config", own: own, root: true, says: "{what}: {local} is wanted here, {peer} says {remote}",
		fix: []diag.Remedy{swan("local", "connections.<c>.remote.id = {remote}"), swan("remote", "connections.<c>.local.id = {local}")}},
	{kind: "connection", id: "no-ike-config-for-peer", own: own, says: "no connection here is for {remote}"},
	{kind: "method", id: "auth-method-mismatch", own: own, says: "{what}: {peer} uses {remote}; wanted here is {local}"},
	{kind: "mac", id: "psk-not-found", when: func(k *fact) bool {
		return strings.HasPrefix(k.detail["why"], "none for") || strings.Contains(k.detail["local"], "no pre-shared key")
	}, says: "there is no shared key here for {peer}: {text}"},
	{kind: "mac", id: "psk-mismatch", when: func(k *fact) bool { return k.detail["near"] != "" }, fixes: func(k *fact) []diag.Remedy { return nearRemedies(k.detail["near"]) },
		says: "the shared keys of both sides differ: {why}"},
	{kind: "mac", id: "psk-mismatch", says: "the shared keys of both sides differ: {what} does not verify"},
	{kind: "signature", id: "sig-hash-mismatch", when: says("what", "signature hash"), says: "{peer} signs with {remote}, which is not accepted here ({local})"},
	{kind: "signature", id: "sig-hash-mismatch", when: says("what", "our own proof"), says: "{peer} accepts no signature that this side can make: {local}"},
	{kind: "signature", id: "cert-untrusted-issuer", conf: diag.Likely, surer: "whether the peer signs with the key of the certificate that it sends", says: "{peer}'s signature does not verify: {why}"},
	{kind: "certificate", id: "cert-not-yet-valid", when: every(says("what", "dates of"), says("why", "not valid yet")), says: "{what}: {remote}, and {local} here"},
	{kind: "certificate", id: "cert-expired", when: says("what", "dates of"), says: "{what}: {remote}, and {local} here"},
	{kind: "certificate", id: "cert-eku-or-keyusage", when: says("what", "usage of"), says: "{what}: {remote}; wanted is {local}"},
	{kind: "certificate", id: "private-key-missing", when: every(says("what", "our own proof"), says("local", "there is no certificate")), own: diag.Credential, says: "this side cannot prove who it is: {local}, or none with its private key"},
	{kind: "certificate", id: "cert-san-mismatch", when: says("what", "our own proof"), own: diag.LocalConfig, says: "this side cannot prove who it is: {local}",
		fix: []diag.Remedy{swan("local", "connections.<c>.local.id = <a name that the certificate holds>"),
			{Side: "local", Platform: "any", Change: "In a policy file: node.identity: <a name that the certificate holds>; or have a certificate issued with the configured identity in its subjectAltName"}}},
	{kind: "certificate", id: "cert-path-policy", when: every(says("what", "chain of"), says("why", "path length")), says: "{what}: {why}"},
	{kind: "certificate", id: "cert-untrusted-issuer", when: says("what", "chain of"), says: "{what}: {why}; {local}"},
	{kind: "certificate", id: "cert-not-sent", when: says("what", "certificate of"), says: "{peer} sends no certificate that could prove it: {why}"},
	{kind: "certificate", id: "cert-path-policy", when: says("what", "key of"), says: "{what}: {why}",
		fix: []diag.Remedy{{Side: "remote", Platform: "any", Change: "Have a certificate issued for a key that is long enough; wanted here is {local}"}}},
	{kind: "integrity", id: "malformed-or-garbled-message", conf: diag.Likely, sev: diag.Medium, surer: "a capture on both sides", says: "messages of {peer} arrive changed, or under other keys: {why}"},
	{kind: "grammar", id: "malformed-or-garbled-message", says: "{peer} sends what the protocol does not allow: {why}"},
	{kind: "message-id", id: "message-id-desync", conf: diag.Likely, surer: "a capture", says: "message ids are out of step: {remote}, expected {local}"},
	{kind: "limit", id: "half-open-limit", when: says("what", "half-open"), says: "attempts are refused by a limit of ours: {remote}, {local}"},
	{kind: "limit", id: "no-additional-sas", when: says("what", "CHILD SAs"), own: own, says: "a limit of ours is reached: {local} CHILD SAs"},
	{kind: "unique", id: "unique-policy-refused", says: "another IKE SA with the same identity stands: {what}"},
}

// wholeProposal says that no proposal fitted, and not that one of several did
// not.
func wholeProposal(k *fact) bool {
	return strings.HasSuffix(k.detail["what"], "proposals") || strings.Contains(k.detail["what"], "choice")
}

// onlyLengthsDiffer is aes128 here and aes256 there with the rest alike.
func onlyLengthsDiffer(k *fact) bool {
	a, b := k.detail["local"], k.detail["remote"]
	return a != b && strings.HasSuffix(k.detail["what"], "proposals") && withoutLength(a) == withoutLength(b)
}

// onlyESNDiffers is the same ESP suite with extended sequence numbers on one
// side only.
func onlyESNDiffers(k *fact) bool {
	bare := strings.NewReplacer("-noesn", "", "-esn", "")
	a, b := k.detail["local"], k.detail["remote"]
	return a != b && strings.HasPrefix(k.detail["what"], "ESP") && bare.Replace(a) == bare.Replace(b)
}

var lengths = strings.NewReplacer("aes128", "aes", "aes192", "aes", "aes256", "aes", "camellia128", "camellia", "camellia192", "camellia", "camellia256", "camellia")

func withoutLength(s string) string { return lengths.Replace(s) }

// sameWordsOtherType is an identity whose text is the same and whose type is
// not: a name as FQDN here and as a key id there.
func sameWordsOtherType(k *fact) bool {
	a, b := words(k.detail["local"]), words(k.detail["remote"])
	return a != "" && a == b && k.detail["local"] != k.detail["remote"] && !strings.Contains(a, "=")
}

// words strips what swanctl marks types with, and a type in parentheses.
func words(id string) string {
	id, _, _ = strings.Cut(id, " (")
	for _, mark := range []string{"fqdn:", "keyid:", "email:", "userfqdn:", "ipv4:", "ipv6:", "asn1dn:", "@@", "@#", "@"} {
		id = strings.TrimPrefix(id, mark)
	}
	return strings.ToLower(id)
}

// sameNameOtherOrder is a distinguished name whose parts are the same in
// another order.
func sameNameOtherOrder(k *fact) bool {
	a, b := parts(k.detail["local"]), parts(k.detail["remote"])
	if len(a) < 2 || len(a) != len(b) || k.detail["local"] == k.detail["remote"] {
		return false
	}
	for p := range a {
		if !b[p] {
			return false
		}
	}
	return true
}

func parts(dn string) map[string]bool {
	if !strings.Contains(dn, "=") {
		return nil
	}
	m := map[string]bool{}
	for p := range strings.SplitSeq(dn, ",") {
		m[strings.ToLower(strings.TrimSpace(p))] = true
	}
	return m
}

// logDate reads a date of charon's log: "Nov 21 06:42:47 2026", UTC where it
// says no zone.
func logDate(s string) (time.Time, bool) {
	for _, layout := range []string{"Jan 2 15:04:05 2006", "Jan _2 15:04:05 2006", "Jan 02 15:04:05 2006", "Jan 02, 15:04:05 2006"} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
