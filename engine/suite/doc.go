// Package suite turns the transform ids of IKEv2 proposals into working
// cryptography: encryption and integrity of SK payloads (RFC 7296 3.14, RFC
// 5282, RFC 7634) and of ESP packets (RFC 4303), pseudorandom functions and
// prf+ (RFC 7296 2.13), key exchange methods (RFC 7296 2.14, RFC 6989) and the
// key schedule (RFC 7296 2.14 to 2.18).
//
// Contract: every primitive is Go's own or golang.org/x/crypto's; where this
// package adds a mode (CCM, XCBC, CMAC, an 8-octet GCM tag) it is built on the
// standard block cipher and compared in constant time. Keys are Secrets, which
// no way of printing reveals. Inputs of any length give an error and never a
// panic. A failed integrity check is ErrIntegrity; a length that no key could
// make right is a LengthError; an algorithm that is not here is an
// AlgorithmError; a key or key exchange value of the wrong form is a KeyError.
package suite
