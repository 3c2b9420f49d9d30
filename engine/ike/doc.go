// Package ike is IKEv2 (RFC 7296) as a fold over its inputs: octets and the
// time go in; octets, events, keys and the next deadline come out. It opens
// nothing, never sleeps and asks no clock, so that a recorded list of inputs
// replays to the same outputs.
//
// An SA is one IKE security association with its CHILD SAs; an Endpoint maps
// SPIs to SAs, answers cookies statelessly and makes SAs for both roles. What
// an SA has to do is a list of tasks, a file each: task_init.go, task_auth.go,
// task_child.go, task_rekey_child.go, task_rekey_ike.go, task_delete.go,
// task_dpd.go.
//
// Contract: a message that fails its integrity check, or that does not belong
// into the window, changes nothing. A message that is authentic and wrong is
// answered as the recovery table (Recoveries) says. Every comparison with a
// value of the peer is an event.Check with both sides' values; whatever is
// refused, by this side or by the peer, comes with one that did not hold
// (testdata/rejections.txt lists them all). Randomness is crypto/rand's except
// in tests, which may set a Source. Nothing in the package is safe for use by
// several goroutines at once; SAs of one Endpoint belong to one goroutine.
package ike
