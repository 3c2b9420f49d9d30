// Package native runs our own IKE engine against the real world and shows it as
// a backend.Backend: tunnels of a policy file, UDP sockets, commands, events.
//
// Contract: one goroutine, the pump's, owns the ike.Endpoint and everything that
// is kept about it; commands and listings are carried out on it and so see one
// moment. The keys of CHILD SAs go to a DataPlane and nowhere else, except to a
// KeyLog where the operator asked for one. Close tells the
// peers, within a bound, and leaves no goroutine and no socket. What the engine
// cannot do is refused with backend.ErrUnsupported and words that say what.
package native
