// Package vici is the Backend for a strongSwan charon: it speaks VICI, the
// daemon's own control protocol, over a UNIX or TCP socket, and is the only
// importer of govici.
//
// Contract: every call opens a session of its own and is bounded by its
// context; nothing outlives the call but what Events runs until its context
// ends. What the daemon sends is hostile until it is checked: a segment is at
// most 512 KiB, well-formed and not deeply nested before govici sees it
// (guard), listings are bounded in octets and entries, and every error says
// which of unreachable, refused and protocol it is.
package vici
