package rule

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var eapRules = []diag.Rule{
	{
		ID:    "eap-method-mismatch",
		Needs: []string{"with keys: EAP payloads"},
		Find:  eapNak,
	},
	{
		ID:    "mschapv2-bad-password",
		Needs: []string{"with keys: EAP payloads"},
		Find:  mschapv2Failure,
	},
}

// eapMessage is an EAP message with the IKE message that carried it.
type eapMessage struct {
	*wire.EAP
	message *trace.Message
}

// eapMessages gives the EAP messages that keys show, in order.
func eapMessages(sa *trace.IKESA) []eapMessage {
	var list []eapMessage
	for _, x := range sa.Auth {
		for _, m := range []*trace.Message{x.Request, x.Response} {
			if e, ok := body[*wire.EAP](m); ok {
				list = append(list, eapMessage{e, m})
			}
		}
	}
	return list
}

// eapFailed says whether EAP ended without success.
func eapFailed(list []eapMessage) bool {
	for _, e := range list {
		switch e.Code {
		case wire.EAPFailure:
			return true
		case wire.EAPSuccess:
			return false
		}
	}
	return false
}

func eapNak(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		list := eapMessages(sa)
		if up(sa) || !eapFailed(list) {
			continue
		}
		var asked wire.EAPType
		for _, e := range list {
			if e.Code == wire.EAPRequest && e.HasType && e.Type != wire.EAPIdentity && e.Type != wire.EAPNotification {
				asked = e.Type
			}
			if e.Code != wire.EAPResponse || !e.HasType || e.Type != wire.EAPNak {
				continue
			}
			var wants []string
			for _, t := range e.Data[:min(len(e.Data), maxListed)] {
				if t != 0 { // 0 means no alternative (RFC 3748 5.3.1)
					wants = append(wants, "EAP-"+wire.EAPType(t).String())
				}
			}
			d := about(sa)
			d.Confidence = diag.Certain
			alternative := "offers nothing else"
			if len(wants) > 0 {
				alternative = "wants " + join(wants)
			}
			d.Evidence = []diag.Evidence{at(e.message, "EAP Nak: %s", alternative)}
			d.Summary = fmt.Sprintf("%s asks for EAP-%s, %s %s", end(sa, trace.Responder), asked, end(sa, trace.Initiator), alternative)
			found = append(found, span(d))
			break
		}
	}
	return found
}

// mschapv2FailureCode is the opcode of a failure request (RFC 2759 6).
const mschapv2FailureCode = 4

func mschapv2Failure(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if up(sa) {
			continue
		}
		for _, e := range eapMessages(sa) {
			if e.Code != wire.EAPRequest || e.Type != wire.EAPMSCHAPv2 || len(e.Data) < 4 || e.Data[0] != mschapv2FailureCode {
				continue
			}
			text := string(e.Data[4:])
			d := about(sa)
			d.Confidence = diag.Certain
			d.Evidence = []diag.Evidence{at(e.message, "EAP-MSCHAPv2 Failure: %s", short(text))}
			d.Summary = fmt.Sprintf("%s refuses the user of %s: %s", end(sa, trace.Responder), end(sa, trace.Initiator), mschapv2Reason(text))
			found = append(found, span(d))
			break
		}
	}
	return found
}

// mschapv2Reason reads the error code of a failure message, "E=691 R=1 ...".
func mschapv2Reason(text string) string {
	reasons := map[string]string{
		"646": "logon hours restrict the account", "647": "the account is disabled", "648": "the password has expired",
		"649": "the account may not dial in", "691": "wrong user name or password", "709": "the password could not be changed",
	}
	for field := range strings.FieldsSeq(text) {
		if code, ok := strings.CutPrefix(field, "E="); ok {
			if r := reasons[code]; r != "" {
				return fmt.Sprintf("%s (E=%s)", r, code)
			}
		}
	}
	return "no reason that is known here"
}
