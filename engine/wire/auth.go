package wire

// Signature splits the data of method Digital Signature into the DER
// AlgorithmIdentifier and the signature (RFC 7427 3). ok is false for other
// methods and where the length octet points behind the end.
func (a *Auth) Signature() (alg, sig []byte, ok bool) {
	if a.Method != AuthDigitalSignature || len(a.Data) == 0 {
		return nil, nil, false
	}
	n := int(a.Data[0])
	if n == 0 || 1+n > len(a.Data) {
		return nil, nil, false
	}
	return a.Data[1 : 1+n], a.Data[1+n:], true
}
