package rule_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// asked is what our own engine may be refused.
var asked = []string{"IKE_SA_INIT", "IKE_AUTH", "child net", "rekeying of child net", "rekeying of the IKE SA", "INFORMATIONAL request"}

// errorsOf says what finding an error of the peer's leads to, in the order of
// asked; one for all where it is the same. "" is none, and why not.
var errorsOf = map[wire.NotifyType]struct {
	ids []string
	why string
}{
	wire.NotifyUnsupportedCriticalPayload: {ids: []string{"unsupported-critical-payload"}},
	wire.NotifyInvalidIKESPI:              {ids: []string{"invalid-ike-spi"}},
	wire.NotifyInvalidMajorVersion:        {ids: []string{"ikev1-only-peer"}},
	wire.NotifyInvalidSyntax:              {ids: []string{"malformed-or-garbled-message"}},
	wire.NotifyInvalidMessageID:           {ids: []string{"message-id-desync"}},
	wire.NotifyInvalidSPI:                 {ids: []string{"invalid-esp-spi-stale-sa"}},
	wire.NotifyNoProposalChosen: {ids: []string{"no-proposal-ike", "no-proposal-child-initial", "no-proposal-child-initial", "pfs-mismatch-at-rekey", "ike-rekey-ke-mismatch",
		"no-proposal-child-initial"}},
	wire.NotifyInvalidKEPayload:       {why: "the engine asks again with the group wanted; a ke check tells where it cannot"},
	wire.NotifyAuthenticationFailed:   {ids: []string{"auth-failed-opaque"}},
	wire.NotifySinglePairRequired:     {ids: []string{"ts-multi-subnet-unsupported"}},
	wire.NotifyNoAdditionalSAs:        {ids: []string{"no-additional-sas"}},
	wire.NotifyInternalAddressFailure: {ids: []string{"internal-address-failure"}},
	wire.NotifyFailedCPRequired:       {ids: []string{"cp-required-or-missing"}},
	wire.NotifyTSUnacceptable:         {ids: []string{"ts-unacceptable"}},
	wire.NotifyInvalidSelectors:       {ids: []string{"inner-address-outside-ts"}},
	wire.NotifyUnacceptableAddresses:  {ids: []string{"mobike-address-change-failed"}},
	wire.NotifyUnexpectedNATDetected:  {ids: []string{"natt-off-with-nat"}},
	wire.NotifyUseAssignedHoA:         {why: "of Mobile IPv6, which the engine does not ask for"},
	wire.NotifyTemporaryFailure:       {why: "once is how the protocol works; three times are a storm"},
	wire.NotifyChildSANotFound:        {ids: []string{"child-sa-not-found"}},
	wire.NotifyInvalidGroupID:         {why: "of group key management, which the engine does not ask for"},
	wire.NotifyAuthorizationFailed:    {why: "of group key management, which the engine does not ask for"},
	wire.NotifyStateNotFound:          {why: "the peer lost the state between two exchanges of one rekeying, which is begun anew"},
	wire.NotifyTSMaxQueue:             {why: "of CHILD SAs for each processor, which the engine does not ask for"},
	wire.NotifyRegistrationFailed:     {why: "of group key management, which the engine does not ask for"},
	wire.NotifyMicrosoftStatus:        {ids: []string{"windows-ms-status"}},
}

// unmatched are the checks of the engine's that are no finding, by the beginning
// of their kind and subject, and why.
var unmatched = map[string]string{
	"message:":                         "anybody can send it; it changes nothing",
	"cookie: cookie of":                "asking for a cookie is how the protocol works",
	"nat:":                             "a NAT on the way is no fault: the tables have it",
	"transform: ENCR of":               "a part of proposals that are told as a whole",
	"transform: PRF of":                "a part of proposals that are told as a whole",
	"transform: INTEG of":              "a part of proposals that are told as a whole",
	"transform: KE of":                 "a part of proposals that are told as a whole",
	"transform: type ":                 "a part of proposals that are told as a whole",
	"proposal: protocol of":            "a part of proposals that are told as a whole",
	"busy:":                            "once is how the protocol works; three times are a storm",
	"ke: group of the peer's":          "the peer is asked for the group that is wanted; three times are a loop",
	"transform: keys of the chosen":    "such an algorithm is refused where the policy is loaded",
	"path:":                            "the tables have the addresses; a change of them is told by MOBIKE's rules",
	"child: SA that the peer deletes":  "a deletion of each side may have crossed the other's",
	"limit: answer to":                 "the rules on silence know which exchange, port and size it was",
	"limit: IKE_AUTH of the initiator": "the rules on silence know which exchange, port and size it was",
}

func refusedWith(checks ...event.Check) []diag.Finding {
	tr := trace.New(trace.Options{})
	tr.Add(&event.Event{Time: begin, Change: &event.Change{Kind: event.IKEUp, SA: &engine.IKESA{Name: "gw", UniqueID: 1, Version: 2, State: engine.IKEConnecting,
		InitiatorSPI: 0xa1, Local: engine.Side{Host: alice}, Remote: engine.Side{Host: bob}}}})
	for i := range checks {
		checks[i].SPIi = 0xa1
		tr.Add(&event.Event{Time: begin.Add(time.Duration(i) * time.Second), Check: &checks[i]})
	}
	return diag.Diagnose(&diag.Facts{Source: "engine:test", Trace: tr, Now: tr.Last}, rule.All())
}

func ids(found []diag.Finding) string {
	var l []string
	for _, f := range found {
		l = append(l, f.ID)
		l = append(l, f.Consequences...)
	}
	return strings.Join(l, " ")
}

func refusalOf(what string, n wire.NotifyType) event.Check {
	return event.Check{Kind: event.CheckRefusal, RFC: "RFC 7296 3.10.1", What: what, Local: "what was asked for", Remote: n.String()}
}

func TestEveryErrorThatThePeerMayAnswerHasItsFindingOrAReasonForNone(t *testing.T) {
	for n := wire.NotifyType(1); n < 16384; n++ {
		row, known := errorsOf[n]
		if !known {
			if !strings.HasPrefix(n.String(), "UNKNOWN") && !strings.Contains(n.String(), "PRIVATE") {
				t.Errorf("%s (%d) has no row", n, n)
			}
			continue
		}
		if (len(row.ids) == 0) == (row.why == "") {
			t.Errorf("%s: either an id or a reason for none", n)
		}
		for i, what := range asked {
			want := ""
			switch len(row.ids) {
			case 0:
			case 1:
				want = row.ids[0]
			default:
				want = row.ids[i]
			}
			found := refusedWith(refusalOf(what, n))
			if got := ids(found); got != want {
				t.Errorf("%s to %s: %q, want %q", n, what, got, want)
			}
			for _, f := range found {
				checkTold(t, f)
				if strings.Contains(f.Summary, "(not told)") || strings.Contains(f.Summary, "{") {
					t.Errorf("%s: %s", n, f.Summary)
				}
			}
		}
	}
}

// What the engine refuses is kept in a table of the engine's own tests: each of
// its checks leads to a finding, or stands among those that do not and why.
func TestEveryRefusalOfTheEngineHasItsFindingOrAReasonForNone(t *testing.T) {
	b, err := os.ReadFile("../../engine/ike/testdata/rejections.txt")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^\t([a-z-]+): (.*?): here (.*); the peer (.*?)(?: \((.*)\))? \[(RFC [^]]*)\]$`)
	used, rows := map[string]bool{}, 0
	for text := range strings.Lines(string(b)) {
		text = strings.TrimSuffix(text, "\n")
		if !strings.HasPrefix(text, "\t") {
			continue
		}
		m := form.FindStringSubmatch(text)
		if m == nil {
			t.Errorf("not read: %s", text)
			continue
		}
		rows++
		if m[1] == "refusal" {
			continue // told by errorsOf
		}
		got := ids(refusedWith(event.Check{Kind: event.CheckKind(m[1]), What: m[2], Local: m[3], Remote: m[4], Why: m[5], RFC: m[6]}))
		none := ""
		for prefix := range unmatched {
			if strings.HasPrefix(text[1:], prefix) {
				none = prefix
			}
		}
		used[none] = true
		if (got == "") != (none != "") {
			t.Errorf("finding %q, expected none: %q\n%s", got, none, text)
		}
	}
	if rows < 200 {
		t.Errorf("%d rows: the engine's table is read wrongly", rows)
	}
	for prefix := range unmatched {
		if !used[prefix] {
			t.Errorf("nothing begins with %q any more", prefix)
		}
	}
}

func TestOnlyARepeatedTemporaryFailureIsAFault(t *testing.T) {
	for _, check := range []event.Check{
		refusalOf("rekeying of child net", wire.NotifyTemporaryFailure),
		{Kind: event.CheckBusy, RFC: "RFC 7296 2.25", What: "request against what is in progress", Local: "IKE SA REKEYING", Remote: "a new child"},
	} {
		for n, want := range []string{"", "", "", "temporary-failure-storm", "temporary-failure-storm"} {
			var all []event.Check
			for range n {
				all = append(all, check)
			}
			found := refusedWith(all...)
			if got := ids(found); got != want {
				t.Errorf("%s, %d times: %q, want %q", check.Kind, n, got, want)
			}
		}
	}
}
