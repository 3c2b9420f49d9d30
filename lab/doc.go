// Package lab sets real IPsec peers against each other on one machine: network
// namespaces joined by veth pairs, a strongSwan daemon in each, NAT boxes
// between them where wanted, and faults made with nftables. It records what
// passes on the wire, what the daemons log, and the keys that they derived.
//
// It is used by command lab/cmd/lab, which makes the capture corpus of this
// repository, and by tests that want a real peer.
//
// Contract: everything happens on Linux as root, inside namespaces whose names
// begin with "cvl"; nothing else on the machine is touched. Every process is a
// child that is ended by its own id, and every namespace is deleted, on every
// way out that a process has a say in: success, error, panic of a scenario,
// cancelled context. What a SIGKILL leaves behind, Sweep removes later. On
// other systems the package compiles, and says so when it is asked to run.
package lab
