package rule

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// refusalTellings are the errors that the peer answered our own engine in place
// of what it asked for, and what this side put off: by event.CheckRefusal and
// event.CheckBusy. {what} is the exchange, {local} what was asked for, {remote}
// the error. INVALID_KE_PAYLOAD has no row: the engine asks again with the group
// that the peer wants, and tells by a check of its own where it cannot.
var refusalTellings = []telling{
	{kind: "refusal", id: "no-proposal-ike", when: every(refuses(wire.NotifyNoProposalChosen), during("IKE_SA_INIT")), own: theirs, conf: diag.Likely,
		surer: "the peer's log: some say the same of an address that they do not know", says: "{peer} accepts none of our IKE proposals: {local}"},
	{kind: "refusal", id: "ike-rekey-ke-mismatch", when: every(refuses(wire.NotifyNoProposalChosen), during("rekeying of the IKE SA"), unmended), own: theirs,
		says: "{peer} refuses to rekey the IKE SA: it accepts none of {local}"},
	{kind: "refusal", id: "pfs-mismatch-at-rekey", when: every(refuses(wire.NotifyNoProposalChosen), during("rekeying of child"), unmended), own: theirs,
		says: "{peer} refuses the {what}: no ESP proposal with this key exchange in common ({local})"},
	{kind: "refusal", id: "no-proposal-child-initial", when: every(refuses(wire.NotifyNoProposalChosen), anew), own: theirs, says: "{peer} accepts none of our ESP proposals: {local}"},
	{kind: "refusal", id: "auth-failed-opaque", when: every(refuses(wire.NotifyAuthenticationFailed), unexplained), conf: diag.Likely, surer: "the peer's log; or let the peer call us",
		says: "{peer} refuses our authentication and does not say why"},
	{kind: "refusal", id: "ts-unacceptable", when: refuses(wire.NotifyTSUnacceptable), own: theirs, says: "{peer} refuses our traffic selectors: {local}"},
	{kind: "refusal", id: "ts-multi-subnet-unsupported", when: refuses(wire.NotifySinglePairRequired), own: theirs, says: "{peer} takes one pair of selectors for each CHILD SA: {local}"},
	{kind: "refusal", id: "no-additional-sas", when: refuses(wire.NotifyNoAdditionalSAs), own: theirs, says: "{peer} takes no further SA in this IKE SA: it refuses {what}"},
	{kind: "refusal", id: "internal-address-failure", when: refuses(wire.NotifyInternalAddressFailure), own: theirs, says: "{peer} has no virtual address for us"},
	{kind: "refusal", id: "cp-required-or-missing", when: refuses(wire.NotifyFailedCPRequired), own: own, says: "{peer} insists that we ask for a virtual address"},
	{kind: "refusal", id: "inner-address-outside-ts", when: refuses(wire.NotifyInvalidSelectors), says: "{peer} got packets of ours that are outside the selectors of their SA"},
	{kind: "refusal", id: "child-sa-not-found", when: every(refuses(wire.NotifyChildSANotFound), times(1)), sev: diag.Info,
		says: "{peer} no longer has the CHILD SA of the {what}: a deletion may have crossed it"},
	{kind: "refusal", id: "child-sa-not-found", when: refuses(wire.NotifyChildSANotFound), says: "{peer} no longer has the CHILD SA of the {what}, again and again"},
	{kind: "refusal", id: "temporary-failure-storm", when: every(refuses(wire.NotifyTemporaryFailure), atLeast(storm)),
		says: "{peer} puts off the {what} every time ({remote}): it says that it is busy with the same SA"},
	{kind: "busy", id: "temporary-failure-storm", when: atLeast(storm), own: theirs,
		says: "{peer} asks again and again for what cannot be done while another change goes on here: {local}"},
	{kind: "refusal", id: "unsupported-critical-payload", when: refuses(wire.NotifyUnsupportedCriticalPayload), says: "{peer} does not know a payload of ours in {what} that is marked as critical"},
	{kind: "refusal", id: "invalid-ike-spi", when: refuses(wire.NotifyInvalidIKESPI), conf: diag.Likely, surer: "the peer's log: the notify is not protected", says: "{peer} does not know our IKE SA"},
	{kind: "refusal", id: "ikev1-only-peer", when: refuses(wire.NotifyInvalidMajorVersion), conf: diag.Likely, surer: "a capture: the notify is not protected", says: "{peer} does not speak IKEv2"},
	{kind: "refusal", id: "malformed-or-garbled-message", when: refuses(wire.NotifyInvalidSyntax), says: "{peer} finds our {what} malformed: {remote}"},
	{kind: "refusal", id: "message-id-desync", when: refuses(wire.NotifyInvalidMessageID), says: "{peer} got a message id of ours outside its window"},
	{kind: "refusal", id: "invalid-esp-spi-stale-sa", when: refuses(wire.NotifyInvalidSPI), conf: diag.Likely, surer: "whether ESP that we send is answered", says: "{peer} does not know an ESP SA that we send on"},
	{kind: "refusal", id: "mobike-address-change-failed", when: refuses(wire.NotifyUnacceptableAddresses), own: theirs, says: "{peer} does not take our new address"},
	{kind: "refusal", id: "natt-off-with-nat", when: refuses(wire.NotifyUnexpectedNATDetected), own: theirs, says: "{peer} refuses: it has found a NAT on the way, and does not allow any"},
	{kind: "refusal", id: "windows-ms-status", when: refuses(wire.NotifyMicrosoftStatus), conf: diag.Likely, surer: "the code of the status: a capture with keys", says: "{peer} (Windows) answers {what} with a status of its own"},
}

// refusedTellings are what this side refuses of a message that the peer should
// not have sent so, beside checkTellings.
var refusedTellings = []telling{
	{kind: "proposal", id: "malformed-or-garbled-message", when: says("what", "choice"), says: "{peer} chooses what was not offered: {remote}; offered was {local}"},
	{kind: "ke", id: "malformed-or-garbled-message", when: says("what", "value of the peer's KE"), says: "{peer} sends a key exchange value that no secret can be made of: {why}"},
	{kind: "ke", id: "invalid-ke-loop", when: every(says("what", "group of the peer's"), atLeast(storm)), own: theirs, says: "{peer} sends a value of another group than it is asked for, again and again: {remote}, wanted is {local}"},
	{kind: "limit", id: "ike-fragment-incomplete", when: every(says("what", "fragments of"), says("local", "within")), conf: diag.Likely, surer: "a capture: which of them is lost",
		says: "fragments of a message of {peer} are missing: {remote} came, {local} are wanted"},
	{kind: "limit", id: "malformed-or-garbled-message", when: says("what", "fragments of"), says: "{peer} sends more fragments than are taken: {why}"},
	{kind: "limit", id: "no-additional-sas", when: during("IKE SAs"), own: own, says: "a limit of ours is reached: {local} IKE SAs"},
	{kind: "cookie", id: "cookie-loop", when: says("what", "that the responder demands"), own: theirs, says: "{peer} demands cookies without end, or one of a wrong length: {remote}"},
	{kind: "child", id: "child-sa-not-found", when: every(says("what", "replaces"), times(1)), sev: diag.Info, says: "{peer} wants to replace a CHILD SA that is not here: a deletion may have crossed it"},
	{kind: "child", id: "child-sa-not-found", when: says("what", "replaces"), says: "{peer} wants to replace a CHILD SA that is not here, again and again"},
}

// refuses says that the peer answered an error.
func refuses(n wire.NotifyType) func(*fact) bool {
	return func(k *fact) bool { return k.detail["remote"] == n.String() }
}

// during says what was refused.
func during(what string) func(*fact) bool {
	return func(k *fact) bool { return strings.HasPrefix(k.detail["what"], what) }
}

// anew says that it is no rekeying that was refused.
func anew(k *fact) bool { return !during("rekeying")(k) }

// unmended says that no rekeying succeeded after this one was refused.
func unmended(k *fact) bool {
	return k.sa == nil || !slices.ContainsFunc(k.sa.Exchanges, func(x *trace.Exchange) bool {
		return x.Type == wire.ExchangeCreateChildSA && x.Request != nil && x.Request.Time.After(k.time) && succeeded(x)
	})
}

// times and atLeast say the how-manieth of its kind a refusal is in its IKE SA.
func times(n int) func(*fact) bool {
	return func(k *fact) bool { return k.detail["times"] == strconv.Itoa(n) }
}

func atLeast(n int) func(*fact) bool {
	return func(k *fact) bool {
		have, err := strconv.Atoi(k.detail["times"])
		return err == nil && have >= n
	}
}
