// Package rule holds the rules that recognise faults in what a source shows.
//
// Contract: a rule reads diag.Facts and changes nothing in them. It reports a
// fault only where the facts exclude the innocent explanations: a capture
// that ends right after a request is not silence, one INVALID_KE_PAYLOAD or
// COOKIE is how the protocol works, a few lost packets are the network. What
// it cannot exclude lowers its confidence, and Surer says what would help. On
// a capture nobody is local: the local side is the initiator of the SA.
package rule

import "github.com/cloudvlan/cvlanctl/diag"

// All gives every rule, in the order of the catalogue's families.
func All() []diag.Rule {
	var all []diag.Rule
	for _, family := range [][]diag.Rule{
		reachRules, silenceRules, initRules, proposalRules, cryptoRules, authRules, certRules, trustRules, eapRules,
		childRules, rekeyRules, natRules, espRules, lifeRules, notifyRules,
		daemonRules, hostRules, hostPathRules, hostCertRules, probeRules, ladderRules, quirkRules, pathRules, siblingRules,
	} {
		all = append(all, family...)
	}
	return withTold(all)
}
