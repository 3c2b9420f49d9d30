package diag

import (
	"fmt"
	"slices"
)

var severityNames = [...]string{Critical: "critical", High: "high", Medium: "medium", Low: "low", Info: "info"}

// String gives critical, high, medium, low or info, and "" for any other value.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return ""
}

// AtLeast says whether s is as bad as limit or worse. No value that is not a
// severity is.
func (s Severity) AtLeast(limit Severity) bool { return s >= Critical && s <= Info && s <= limit }

// ParseSeverity reads a severity's name. The error lists the names.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severityNames[1:], name); i >= 0 {
		return Severity(i + 1), nil
	}
	return 0, fmt.Errorf("unknown severity %q: want critical, high, medium, low or info", name)
}

var confidenceNames = [...]string{Certain: "certain", Likely: "likely", Hint: "hint"}

// String gives certain, likely or hint, and "" for any other value.
func (c Confidence) String() string {
	if int(c) < len(confidenceNames) {
		return confidenceNames[c]
	}
	return ""
}

// Weaker gives the next lower degree of confidence; below Hint there is none.
func (c Confidence) Weaker() Confidence { return min(c+1, Hint) }

// Owners lists the values of Ownership.
func Owners() []Ownership {
	return []Ownership{External, LocalConfig, PeerConfig, Credential, Host, Software}
}
