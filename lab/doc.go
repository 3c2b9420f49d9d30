// Package lab sets real IPsec peers against each other on one machine: network
// namespaces joined by veth pairs, a strongSwan daemon in each, NAT boxes
// between them where wanted, and faults made with nftables. It records what
// passes on the wire, what the daemons log, and the keys that they derived.
//
// It is used by command lab/cmd/lab, which makes the capture corpus of this
// repository, and by tests that want a real peer.
//
// A Segment is a network with a guest on it, a second kernel that has ESP and
// netem; namespaces join it. In a guest run Gateways: strongSwan with kernel
// ESP, libreswan or OpenIKED, each made from the same description of a
// connection and given the same orders. A guest takes seconds to boot: share a
// segment between tests and load another connection for each. Whatever else is
// to happen in a guest goes through Guest.Exec, a bad network for example by
// "tc qdisc add dev net0 root netem delay 50ms loss 5%".
//
// Contract: everything happens on Linux as root, inside namespaces whose names
// begin with "cvl"; nothing else on the machine is touched. Every process is a
// child that is ended by its own id, and every namespace is deleted, on every
// way out that a process has a say in: success, error, panic of a scenario,
// cancelled context. What a SIGKILL leaves behind, Sweep removes later. On
// other systems the package compiles, and says so when it is asked to run.
package lab
