package page

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/theme"
)

const unknown = "unknown"

// short gives a duration in at most five cells: 640us, 12ms, 4.2s, 3m12,
// 1h02, 3d04, 250d.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + "us"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02d", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02d", int(d.Hours()), int(d.Minutes())%60)
	}
	if days := int(d.Hours()) / 24; days < 100 {
		return fmt.Sprintf("%dd%02d", days, int(d.Hours())%24)
	} else if days < 10_000 {
		return strconv.Itoa(days) + "d"
	}
	return "years"
}

// rtt gives a round-trip time in at most eight cells: "0.62 ms", "1.204 s".
func rtt(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64) + " ms"
	case d < 100*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 100*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	}
	return short(d)
}

// amount gives a count in at most five cells: 999, 1.2k, 340M.
func amount(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	v := float64(n)
	for _, unit := range []string{"k", "M", "G", "T", "P", "E"} {
		if v /= 1000; v < 9.95 {
			return strconv.FormatFloat(v, 'f', 1, 64) + unit
		} else if v < 999.5 {
			return strconv.FormatFloat(v, 'f', 0, 64) + unit
		}
	}
	return strconv.FormatUint(n, 10)
}

// Thousands gives a count with groups of three digits.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count gives "1 probe", "3 probes".
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Thousands(n) + " " + noun + "s"
}

func optAmount(o engine.Opt[uint64]) string {
	if v, ok := o.Get(); ok {
		return amount(v)
	}
	return ""
}

// endpoint gives "10.0.0.1:500", "[2001:db8::1]:500", or the address alone
// where there is no port.
func endpoint(a netip.AddrPort) string {
	switch {
	case !a.Addr().IsValid():
		return unknown
	case a.Port() == 0:
		return a.Addr().String()
	}
	return a.String()
}

func sideEndpoint(s engine.Side) string { return endpoint(netip.AddrPortFrom(s.Host, s.Port)) }

func host(a netip.Addr) string {
	if !a.IsValid() {
		return unknown
	}
	return a.String()
}

// clock gives a time of day with microseconds.
func clock(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.UTC().Format("15:04:05.000000")
}

// sinceStart gives seconds since the start of a trace in at most ten cells:
// the longer ago, the fewer decimals.
func sinceStart(d time.Duration) string {
	decimals := 6
	switch s := d.Seconds(); {
	case s >= 1e8:
		decimals = 0
	case s >= 1e5:
		decimals = 1
	case s >= 1e3:
		decimals = 3
	}
	return strconv.FormatFloat(d.Seconds(), 'f', decimals, 64)
}

// ikeRole and childRole say what a state means.
func ikeRole(s engine.IKEState) theme.Role {
	switch s {
	case engine.IKEEstablished:
		return theme.Good
	case engine.IKEFailed:
		return theme.Bad
	case engine.IKEDeleted, engine.IKERekeyed, engine.IKEDestroying:
		return theme.Muted
	}
	return theme.Busy
}

func childRole(s engine.ChildState) theme.Role {
	switch s {
	case engine.ChildInstalled, engine.ChildRouted:
		return theme.Good
	case engine.ChildFailed:
		return theme.Bad
	case engine.ChildDeleted, engine.ChildRekeyed, engine.ChildDestroying:
		return theme.Muted
	}
	return theme.Busy
}

// Severity gives a word of at most four cells and its role; severityName the
// whole word.
func Severity(s diag.Severity) (string, theme.Role) {
	switch s {
	case diag.Critical:
		return "crit", theme.Bad
	case diag.High:
		return "high", theme.Bad
	case diag.Medium:
		return "med", theme.Warning
	case diag.Low:
		return "low", theme.Busy
	case diag.Info:
		return "info", theme.Muted
	}
	return "", theme.Plain
}

func severityName(s diag.Severity) string {
	switch s {
	case diag.Critical:
		return "critical"
	case diag.Medium:
		return "medium"
	}
	word, _ := Severity(s)
	return word
}

func confidenceName(c diag.Confidence) string {
	switch c {
	case diag.Certain:
		return "certain"
	case diag.Likely:
		return "likely"
	case diag.Hint:
		return "a hint"
	}
	return unknown
}

// suiteWords gives the suite in swanctl's spelling, or IANA's names.
func suiteWords(s *engine.Suite) string {
	if s.Keyword != "" {
		return s.Keyword
	}
	var parts []string
	add := func(name string) {
		if name != "" {
			parts = append(parts, name)
		}
	}
	if s.EncrAlg != "" && s.EncrKeySize > 0 {
		add(s.EncrAlg + "_" + strconv.Itoa(s.EncrKeySize))
	} else {
		add(s.EncrAlg)
	}
	add(s.IntegAlg)
	add(s.PRFAlg)
	add(s.DHGroup)
	parts = append(parts, s.AKE...)
	return strings.Join(parts, " ")
}

// meanings say what an error notify tells an operator.
var meanings = map[wire.NotifyType]string{
	wire.NotifyUnsupportedCriticalPayload: "a critical payload is not known to the peer",
	wire.NotifyInvalidIKESPI:              "the peer does not know this IKE SA",
	wire.NotifyInvalidMajorVersion:        "the peer does not speak this IKE version",
	wire.NotifyInvalidSyntax:              "the peer found the message malformed",
	wire.NotifyInvalidMessageID:           "message id outside the window",
	wire.NotifyInvalidSPI:                 "ESP or AH packet for an SA that the peer does not know",
	wire.NotifyNoProposalChosen:           "no offered proposal is acceptable to the peer",
	wire.NotifyInvalidKEPayload:           "the peer wants another key exchange group",
	wire.NotifyAuthenticationFailed:       "the peer did not accept identity or credential",
	wire.NotifySinglePairRequired:         "the peer wants a single pair of addresses",
	wire.NotifyNoAdditionalSAs:            "the peer takes no more child SAs on this IKE SA",
	wire.NotifyInternalAddressFailure:     "the peer could not assign a virtual address",
	wire.NotifyFailedCPRequired:           "the peer demands that a virtual address is asked for",
	wire.NotifyTSUnacceptable:             "no offered traffic selector is acceptable to the peer",
	wire.NotifyInvalidSelectors:           "a packet came outside its SA's selectors",
	wire.NotifyUnacceptableAddresses:      "the peer refuses the new addresses",
	wire.NotifyUnexpectedNATDetected:      "a NAT where none is allowed",
	wire.NotifyUseAssignedHoA:             "the peer wants the home address that it assigned",
	wire.NotifyTemporaryFailure:           "the peer is busy with a rekey or delete; to be tried again",
	wire.NotifyChildSANotFound:            "the child SA to rekey is not there any more",
	wire.NotifyInvalidGroupID:             "the group is not known",
	wire.NotifyAuthorizationFailed:        "the peer does not allow this",
	wire.NotifyStateNotFound:              "the peer lost the state of the key exchange",
	wire.NotifyMicrosoftStatus:            "Windows refuses with a status code of its own",
}

// notifyMeaning says an error notify in words; INVALID_KE_PAYLOAD names the
// group that is wanted.
func notifyMeaning(n *wire.Notify) string {
	words := meanings[n.Type]
	if n.Type == wire.NotifyInvalidKEPayload && len(n.Data) == 2 {
		group := wire.KEMethod(uint16(n.Data[0])<<8 | uint16(n.Data[1]))
		return "the peer wants group " + group.String()
	}
	if words == "" {
		return n.Type.PrivateMeaning()
	}
	return words
}

func endpointOf(a netip.Addr, port uint16) string { return endpoint(netip.AddrPortFrom(a, port)) }
