package esp

// The two bits of ECN (RFC 3168 5).
const (
	notECT = 0
	ect1   = 1
	ect0   = 2
	ce     = 3
)

// OuterTOS gives the traffic class octet of the outer header for an inner
// packet's: DSCP is copied, and ECN too (RFC 6040 4.1, normal mode; RFC 4301
// 5.1.2.1).
func OuterTOS(inner uint8) uint8 { return inner }

// decapsulate gives the inner packet the ECN bits that follow from its own and
// the outer packet's (RFC 6040 4.2). It says false for a packet that has to be
// dropped.
func decapsulate(packet []byte, inner, outer uint8) bool {
	in, out := inner&3, outer&3
	want := in
	switch {
	case out == ce && in == notECT:
		return false
	case out == ce:
		want = ce
	case out == ect1 && in == ect0:
		want = ect1
	}
	if want != in {
		setECN(packet, want)
	}
	return true
}

// setECN changes the ECN bits of an IP packet.
func setECN(packet []byte, ecn uint8) {
	if packet[0]>>4 == 6 {
		packet[1] = packet[1]&^0x30 | ecn<<4
		return
	}
	before := uint16(packet[0])<<8 | uint16(packet[1])
	packet[1] = packet[1]&^3 | ecn
	changed(packet[10:12], before, uint16(packet[0])<<8|uint16(packet[1]))
}
