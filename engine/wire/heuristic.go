package wire

import "encoding/binary"

// LooksLikeIKE says whether b, found on a port that IKE does not own, is an
// IKE message beyond reasonable doubt: the header's length is b's, version,
// exchange type, flags, SPIs and message id agree with one another, and the
// chain of payloads ends with the message (or the message is encrypted). It
// allocates nothing. It refuses some valid but strange messages.
func LooksLikeIKE(b []byte) bool {
	h, err := ParseHeader(b)
	if err != nil || uint64(h.Length) != uint64(len(b)) || h.InitiatorSPI == 0 {
		return false
	}
	switch h.Version {
	case Version2:
		return looksLikeV2(&h, b)
	case Version1:
		return looksLikeV1(&h, b)
	}
	return false
}

func looksLikeV2(h *Header, b []byte) bool {
	if !h.Exchange.Version2() || h.Flags&^(FlagInitiator|FlagVersion|FlagResponse) != 0 {
		return false
	}
	switch {
	case h.Exchange == ExchangeIKESAInit || h.Exchange == ExchangeIKESessionResume:
		if h.MessageID != 0 || h.NextPayload == PayloadSK || h.NextPayload == PayloadSKF {
			return false
		}
		// The initiator sends the request and the responder the response.
		if h.Initiator() == h.Response() {
			return false
		}
		if !h.Response() && h.ResponderSPI != 0 {
			return false
		}
	case h.ResponderSPI == 0 && h.Exchange != ExchangeInformational:
		return false
	case h.NextPayload == PayloadSK || h.NextPayload == PayloadSKF:
	case h.Exchange != ExchangeInformational:
		return false
	}
	return h.NextPayload != PayloadNone && plausibleChain(b, h.NextPayload, PayloadType.Version2)
}

func looksLikeV1(h *Header, b []byte) bool {
	if !h.Exchange.Version1() || h.Flags&^(FlagV1Encrypted|FlagV1Commit|FlagV1AuthOnly) != 0 ||
		!h.NextPayload.Version1() {
		return false
	}
	if h.Exchange == ExchangeV1Quick || h.Exchange == ExchangeV1Transaction {
		if h.MessageID == 0 || h.ResponderSPI == 0 || h.Flags&FlagV1Encrypted == 0 {
			return false
		}
	}
	if h.Flags&FlagV1Encrypted != 0 {
		// Every cipher of IKEv1 has blocks of 8 or 16 octets.
		n := len(b) - HeaderLength
		return h.ResponderSPI != 0 && n > 0 && n%8 == 0
	}
	return plausibleChain(b, h.NextPayload, PayloadType.Version1)
}

// plausibleChain follows the generic headers of b to its end.
func plausibleChain(b []byte, t PayloadType, assigned func(PayloadType) bool) bool {
	off := HeaderLength
	for n := 0; t != PayloadNone; n++ {
		if n == maxPayloads || len(b)-off < payloadHeaderLength {
			return false
		}
		if !assigned(t) && t < 128 {
			return false
		}
		length := int(binary.BigEndian.Uint16(b[off+2:]))
		if length < payloadHeaderLength || length > len(b)-off || b[off+1]&0x7f != 0 {
			return false
		}
		next := PayloadType(b[off])
		off += length
		if t == PayloadSK || t == PayloadSKF {
			break
		}
		t = next
	}
	return off == len(b)
}
