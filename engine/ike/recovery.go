package ike

import (
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// RecoverAction is what is done about an error.
type RecoverAction string

// The actions of the recovery table.
const (
	RecoverRetry  RecoverAction = "retry"  // ask again, later each time
	RecoverNotify RecoverAction = "notify" // tell the peer, or the operator, and go on
	RecoverDelete RecoverAction = "delete" // the SA ends
	RecoverReset  RecoverAction = "reset"  // what failed goes, and is set up anew
	RecoverIgnore RecoverAction = "ignore" // nothing changes
)

// Recovery is one row of the recovery table: what this engine does about an
// error.
type Recovery struct {
	// Error is the notify that the peer answers or sends with, 0 where the
	// error is one that this side sees by itself.
	Error wire.NotifyType
	// During is what was under way: "IKE_SA_INIT", "IKE_AUTH", "child", "child
	// rekey", "IKE rekey", "INFORMATIONAL", or "any".
	During string
	Cause  string // in words, where Error is 0
	Action RecoverAction
	Tries  int // of retries in a row; 0 is without end
	Words  string
	RFC    string
}

// retryWords is how long the waits for a retry are by default: see retry, and
// Settings.RetryDelay.
const retryWords = "10 s, then twice as long each time up to 80 s"

// Recoveries is the recovery table. For an error of the peer's, the first row
// that fits counts.
var Recoveries = []Recovery{
	{Error: wire.NotifyInvalidKEPayload, During: "IKE_SA_INIT", Action: RecoverRetry, Tries: maxInitTries, RFC: "RFC 7296 1.2",
		Words: "at once, with the group that the responder wants, if it is one of ours"},
	{Error: wire.NotifyInvalidKEPayload, During: "child", Action: RecoverRetry, Tries: maxInitTries, RFC: "RFC 7296 1.3",
		Words: "at once, with the group that the peer wants, if it is one of ours"},
	{Error: wire.NotifyInvalidKEPayload, During: "child rekey", Action: RecoverRetry, Tries: maxInitTries, RFC: "RFC 7296 1.3",
		Words: "at once, with the group that the peer wants; else after " + retryWords},
	{Error: wire.NotifyInvalidKEPayload, During: "IKE rekey", Action: RecoverRetry, Tries: maxInitTries, RFC: "RFC 7296 1.3",
		Words: "at once, with the group that the peer wants; else after " + retryWords},
	{Error: wire.NotifyTemporaryFailure, During: "any", Action: RecoverRetry, RFC: "RFC 7296 2.25",
		Words: "after " + retryWords + ": the peer is busy with the same SA"},
	{Error: wire.NotifyChildSANotFound, During: "child rekey", Action: RecoverReset, RFC: "RFC 7296 2.25",
		Words: "the peer does not have the child SA: it is removed without a word, and set up anew"},
	{Error: wire.NotifyNoAdditionalSAs, During: "child rekey", Action: RecoverRetry, RFC: "RFC 7296 1.3",
		Words: "after " + retryWords + ", until the child's lifetime is over"},
	{Error: wire.NotifyNoAdditionalSAs, During: "any", Action: RecoverNotify, RFC: "RFC 7296 1.3",
		Words: "the peer takes no more SAs; what stands, stands"},
	{Error: wire.NotifyNoProposalChosen, During: "IKE_SA_INIT", Action: RecoverDelete, RFC: "RFC 7296 2.7",
		Words: "the attempt ends: no algorithm suits both sides"},
	{Error: wire.NotifyNoProposalChosen, During: "child", Action: RecoverNotify, RFC: "RFC 7296 2.7",
		Words: "there is no child; the IKE SA stands"},
	{Error: wire.NotifyNoProposalChosen, During: "child rekey", Action: RecoverRetry, RFC: "RFC 7296 2.7",
		Words: "after " + retryWords + ", until the child's lifetime is over"},
	{Error: wire.NotifyNoProposalChosen, During: "IKE rekey", Action: RecoverRetry, RFC: "RFC 7296 2.7",
		Words: "after " + retryWords + ", until the IKE SA's lifetime is over"},
	{Error: wire.NotifyTSUnacceptable, During: "child rekey", Action: RecoverRetry, RFC: "RFC 7296 2.9",
		Words: "after " + retryWords + ", until the child's lifetime is over"},
	{Error: wire.NotifyTSUnacceptable, During: "any", Action: RecoverNotify, RFC: "RFC 7296 2.9",
		Words: "there is no child; the IKE SA stands"},
	{Error: wire.NotifySinglePairRequired, During: "any", Action: RecoverNotify, RFC: "RFC 7296 2.9",
		Words: "there is no child: the peer wants one address on each side"},
	{Error: wire.NotifyInternalAddressFailure, During: "any", Action: RecoverNotify, RFC: "RFC 7296 3.15.4",
		Words: "there is no child: the peer has no address to give"},
	{Error: wire.NotifyFailedCPRequired, During: "any", Action: RecoverNotify, RFC: "RFC 7296 2.19",
		Words: "there is no child: the peer wants to be asked for an address"},
	{Error: wire.NotifyAuthenticationFailed, During: "any", Action: RecoverDelete, RFC: "RFC 7296 2.21.2",
		Words: "the IKE SA ends"},
	{Error: wire.NotifyInvalidSyntax, During: "any", Action: RecoverDelete, RFC: "RFC 7296 2.21.3",
		Words: "the IKE SA ends on both sides without a deletion"},
	{Error: wire.NotifyUnsupportedCriticalPayload, During: "any", Action: RecoverNotify, RFC: "RFC 7296 2.5",
		Words: "what was asked for does not happen; the IKE SA stands"},
	{Error: wire.NotifyInvalidSelectors, During: "INFORMATIONAL", Action: RecoverNotify, RFC: "RFC 7296 3.10.1",
		Words: "the peer dropped an ESP packet outside its selectors; the SA stands"},
	{Error: wire.NotifyInvalidSPI, During: "INFORMATIONAL", Action: RecoverNotify, RFC: "RFC 7296 1.5",
		Words: "the peer does not know an ESP SPI of ours; the SA stands"},
	{Error: wire.NotifyInvalidMessageID, During: "INFORMATIONAL", Action: RecoverNotify, RFC: "RFC 7296 2.3",
		Words: "the peer saw a message id outside its window; the SA stands"},
	{During: "any", Cause: "no answer after the last repetition", Action: RecoverReset, RFC: "RFC 7296 2.4",
		Words: "the IKE SA ends; each child is cleared, set up anew or trapped, as configured"},
	{During: "any", Cause: "a message fails its integrity check", Action: RecoverIgnore, RFC: "RFC 7296 2.21.3",
		Words: "anybody can have sent it"},
	{During: "any", Cause: "an error in the clear", Action: RecoverIgnore, RFC: "RFC 7296 2.21.4",
		Words: "anybody can have sent it"},
	{During: "any", Cause: "a message for an SPI that nobody has", Action: RecoverNotify, RFC: "RFC 7296 1.5",
		Words: "INVALID_IKE_SPI in the clear, at most ten in a second"},
	{During: "any", Cause: "a request outside the window", Action: RecoverIgnore, RFC: "RFC 7296 2.3",
		Words: "it is late, or replayed"},
	{During: "any", Cause: "an authentic request that is malformed", Action: RecoverDelete, RFC: "RFC 7296 2.21.3",
		Words: "INVALID_SYNTAX, and the IKE SA ends on both sides"},
	{During: "any", Cause: "an authentic request with an unknown critical payload", Action: RecoverNotify, RFC: "RFC 7296 2.5",
		Words: "UNSUPPORTED_CRITICAL_PAYLOAD; the IKE SA stands once it is authenticated"},
	{During: "any", Cause: "the peer does not delete what it replaced", Action: RecoverDelete, RFC: "RFC 7296 2.8",
		Words: "we delete it, after as long as a request is repeated"},
}

// recover looks an error of the peer's up in the table and reports the row.
func (s *SA) recover(n wire.NotifyType, during string) *Recovery {
	r := recovery(n, during)
	s.note("recovery", "", "%s during %s: %s: %s", n, during, r.Action, r.Words)
	return r
}

var unknownError = Recovery{During: "any", Action: RecoverNotify, RFC: "RFC 7296 3.10.1",
	Words: "an error that is not known here: what was asked for does not happen"}

func recovery(n wire.NotifyType, during string) *Recovery {
	for i := range Recoveries {
		if r := &Recoveries[i]; r.Error == n && n != 0 && (r.During == during || r.During == "any") {
			return r
		}
	}
	return &unknownError
}

// maxDoublings is how often the wait for a retry doubles.
const maxDoublings = 3

// retry queues a task again after the delay, or gives it up after as many tries
// as the row has.
func (s *SA) retry(t task, r *Recovery) {
	if s.attempts == nil {
		s.attempts = map[string]int{}
	}
	n := s.attempts[t.name()]
	s.attempts[t.name()] = n + 1
	if r.Tries > 0 && n >= r.Tries {
		s.note("give-up", "", "%s was refused %s in a row", t.name(), times(n+1))
		t.abandon(s)
		return
	}
	s.later(t, s.set.RetryDelay*time.Duration(1<<min(n, maxDoublings)))
}
