package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Summary says in a few words what the payload holds: the algorithms, the
// identity, the type of the notify. Text from the wire is escaped.
func (p *Payload) Summary() string {
	switch b := p.Body.(type) {
	case *SA:
		return proposalsText(b)
	case *KE:
		return fmt.Sprintf("%s (%d), %d octets", b.Group, b.Group, len(b.Data))
	case *ID:
		return fmt.Sprintf("%s %s", b.Type, cut(b.String()))
	case *Cert:
		return certText(b.Encoding, b.Data)
	case *CertReq:
		if b.Encoding == CertX509Signature && len(b.Authority)%20 == 0 {
			return fmt.Sprintf("%s, %d authorities", b.Encoding, len(b.Authority)/20)
		}
		return fmt.Sprintf("%s, %d octets", b.Encoding, len(b.Authority))
	case *Auth:
		if alg, _, ok := b.Signature(); ok {
			return fmt.Sprintf("%s, %s", b.Method, SignatureAlgorithmName(alg))
		}
		return b.Method.String()
	case *Nonce:
		return octets(len(b.Data))
	case *Notify:
		return b.summary()
	case *Delete:
		if b.SPISize == 0 {
			return b.Protocol.String()
		}
		return fmt.Sprintf("%s %s", b.Protocol, spisText(b.SPIs))
	case *VendorID:
		return vendorText(b.Data)
	case *TS:
		return selectorsText(b)
	case *Encrypted:
		return sealedText(b.First, len(b.Data))
	case *Fragment:
		return fmt.Sprintf("fragment %d of %d, %s", b.Number, b.Total, sealedText(b.First, len(b.Data)))
	case *Config:
		return fmt.Sprintf("%s, %d attributes", b.Type, len(b.Attributes))
	case *EAP:
		if b.HasType {
			return fmt.Sprintf("%s %s", b.Code, b.Type)
		}
		return b.Code.String()
	case *Unknown:
		return octets(len(b.Data))
	}
	return p.v1Summary()
}

func (p *Payload) v1Summary() string {
	switch b := p.Body.(type) {
	case *V1SA:
		return v1ProposalsText(b)
	case *V1KE:
		return octets(len(b.Data))
	case *V1ID:
		return fmt.Sprintf("%s %s", b.Type, cut(b.String()))
	case *V1Cert:
		return certText(b.Encoding, b.Data)
	case *V1CertReq:
		if len(b.Authority) == 0 {
			return b.Encoding.String() + ", any authority"
		}
		dn, _ := DNText(b.Authority)
		return fmt.Sprintf("%s, %s", b.Encoding, cut(dn))
	case *V1Hash:
		return octets(len(b.Data))
	case *V1Sig:
		return octets(len(b.Data))
	case *V1Notify:
		return fmt.Sprintf("%s (%d), %s", b.Type, b.Type, b.Protocol)
	case *V1Delete:
		return fmt.Sprintf("%s %s", b.Protocol, spisText(b.SPIs))
	case *V1Attributes:
		return fmt.Sprintf("%s, identifier %d, %d attributes", b.Type, b.Identifier, len(b.Attributes))
	case *V1NATD:
		return hexText(b.Data)
	case *V1NATOA:
		if b.Address.IsValid() {
			return b.Address.String()
		}
		return b.Type.String()
	case *V1Fragment:
		last := ""
		if b.Last {
			last = ", the last"
		}
		return fmt.Sprintf("fragment %d of packet %d%s, %d octets", b.Number, b.ID, last, len(b.Data))
	case *V1Encrypted:
		return sealedText(b.First, len(b.Data))
	}
	return ""
}

func octets(n int) string { return fmt.Sprintf("%d octets", n) }

// maxText bounds text from the wire in a summary, in octets.
const maxText = 256

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

func sealedText(first PayloadType, n int) string {
	if first == PayloadNone {
		return fmt.Sprintf("%d octets encrypted", n)
	}
	return fmt.Sprintf("%s first inside, %d octets encrypted", first, n)
}

func (n *Notify) summary() string {
	s := n.Type.String()
	if m := n.Type.PrivateMeaning(); m != "" {
		s += ", used as " + m
	}
	if len(n.SPI) > 0 {
		s += fmt.Sprintf(", %s SPI %x", n.Protocol, n.SPI)
	}
	switch n.Type {
	case NotifyNATDetectionSourceIP, NotifyNATDetectionDestinationIP, NotifyCookie, NotifyCookie2:
		return s
	}
	for _, f := range n.Details(0) {
		s += fmt.Sprintf(", %s %s", f.Name, cut(f.Value))
	}
	return s
}

func vendorText(vid []byte) string {
	switch name, ok := VendorName(vid); {
	case ok:
		return "claims " + name
	case name != "":
		return "not known, text " + name
	}
	return "not known, " + hexText(vid)
}

func certText(e CertEncoding, data []byte) string {
	switch e {
	case CertX509Signature, CertX509KeyExchange:
		if issuer, subject, ok := CertNames(data); ok {
			return fmt.Sprintf("%s, subject %s, issuer %s", e, cut(subject), cut(issuer))
		}
	case CertHashURLX509, CertHashURLX509Bundle:
		if len(data) > 20 {
			return fmt.Sprintf("%s, %s", e, cut(Escape(data[20:])))
		}
	}
	return fmt.Sprintf("%s, %d octets", e, len(data))
}

// maxListed bounds the entries of lists in a summary.
const maxListed = 8

func spisText(spis [][]byte) string {
	var s []string
	for i, spi := range spis {
		if i == maxListed {
			s = append(s, fmt.Sprintf("and %d more", len(spis)-i))
			break
		}
		s = append(s, fmt.Sprintf("%x", spi))
	}
	return strings.Join(s, " ")
}

func proposalsText(sa *SA) string {
	var s []string
	for i := range sa.Proposals {
		if i == maxListed {
			s = append(s, fmt.Sprintf("and %d more", len(sa.Proposals)-i))
			break
		}
		p := &sa.Proposals[i]
		s = append(s, p.Protocol.String()+" "+cut(FormatProposal(p.Protocol, p.Transforms)))
	}
	return strings.Join(s, ", ")
}

func v1ProposalsText(sa *V1SA) string {
	var s []string
	n := 0
	for i := range sa.Proposals {
		p := &sa.Proposals[i]
		for j := range p.Transforms {
			if n++; n <= maxListed {
				text := p.Transforms[j].Text(p.Protocol)
				if p.Protocol == V1ProtocolISAKMP { // others have it in the transform's name
					text = p.Protocol.String() + " " + text
				}
				s = append(s, text)
			}
		}
	}
	if n > maxListed {
		s = append(s, fmt.Sprintf("and %d more", n-maxListed))
	}
	if len(s) == 0 {
		return fmt.Sprintf("DOI %s, no transforms", sa.DOI)
	}
	return strings.Join(s, "; ")
}

func selectorsText(ts *TS) string {
	var s []string
	for i := range ts.Selectors {
		if i == maxListed {
			s = append(s, fmt.Sprintf("and %d more", len(ts.Selectors)-i))
			break
		}
		s = append(s, ts.Selectors[i].String())
	}
	return strings.Join(s, " ")
}

// String gives the selector as swanctl writes it: "10.0.0.0/24", with
// "[6/80]" behind it where an IP protocol or ports are named, and
// "10.0.0.1-10.0.0.9" where the range is no prefix.
func (s *TrafficSelector) String() string {
	if !s.Start.IsValid() {
		return fmt.Sprintf("%s %s", s.Type, hexText(s.Data))
	}
	text := RangeText(s.Start, s.End)
	anyPort := s.StartPort == 0 && s.EndPort == 65535
	switch {
	case s.Protocol == 0 && anyPort:
		return text
	case anyPort:
		return fmt.Sprintf("%s[%d]", text, s.Protocol)
	case s.StartPort == s.EndPort:
		return fmt.Sprintf("%s[%d/%d]", text, s.Protocol, s.StartPort)
	case s.StartPort == 65535 && s.EndPort == 0:
		return fmt.Sprintf("%s[%d/OPAQUE]", text, s.Protocol)
	}
	return fmt.Sprintf("%s[%d/%d-%d]", text, s.Protocol, s.StartPort, s.EndPort)
}

// RangeText writes a range of addresses as a prefix, "10.0.0.0/24", where it
// is one, else as "first-last".
func RangeText(start, end netip.Addr) string {
	if p, ok := rangePrefix(start, end); ok {
		return p.String()
	}
	return start.String() + "-" + end.String()
}

// rangePrefix gives the prefix that covers exactly start to end.
func rangePrefix(start, end netip.Addr) (netip.Prefix, bool) {
	if start.BitLen() != end.BitLen() || !start.IsValid() {
		return netip.Prefix{}, false
	}
	a, b := start.As16(), end.As16()
	n := 0
	for n < 128 && a[n/8]>>(7-n%8)&1 == b[n/8]>>(7-n%8)&1 {
		n++
	}
	for i := n; i < 128; i++ {
		if a[i/8]>>(7-i%8)&1 != 0 || b[i/8]>>(7-i%8)&1 != 1 {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(start, n-128+start.BitLen()), true
}

// Text gives the value of a configuration attribute in words: an address, a
// subnet, a name; hexadecimal digits where it has no form that is known. Text
// from the wire is escaped.
func (a *ConfigAttribute) Text() string {
	if len(a.Data) == 0 {
		return ""
	}
	if a.Type.secret() {
		return fmt.Sprintf("[%d octets]", len(a.Data))
	}
	addr, isAddr := netip.AddrFromSlice(a.Data)
	switch a.Type {
	case ConfigInternalIP4Address, ConfigInternalIP4Netmask, ConfigInternalIP4DNS, ConfigInternalIP4NBNS,
		ConfigInternalIP4DHCP, ConfigPCSCFIP4Address, ConfigInternalIP6DNS, ConfigInternalIP6NBNS,
		ConfigInternalIP6DHCP, ConfigInternalIP6Netmask, ConfigPCSCFIP6Address:
		if isAddr {
			return addr.String()
		}
	case ConfigInternalIP4Subnet, ConfigUnitySplitInclude:
		if len(a.Data) >= 8 {
			net, _ := netip.AddrFromSlice(a.Data[:4])
			if n, ok := maskLength(a.Data[4:8]); ok {
				return netip.PrefixFrom(net, n).String()
			}
		}
	case ConfigInternalIP6Address, ConfigInternalIP6Subnet, ConfigInternalIP6Prefix, ConfigMIP6HomePrefix:
		if len(a.Data) == 17 && a.Data[16] <= 128 {
			net, _ := netip.AddrFromSlice(a.Data[:16])
			return netip.PrefixFrom(net, int(a.Data[16])).String()
		}
		if isAddr && addr.Is6() {
			return addr.String()
		}
	case ConfigApplicationVersion, ConfigInternalDNSDomain, ConfigUnityBanner, ConfigXauthUserName,
		ConfigXauthMessage, ConfigXauthDomain, ConfigXauthChallenge:
		return cut(Escape(a.Data))
	case ConfigSupportedAttributes:
		var s []string
		for b := a.Data; len(b) >= 2 && len(s) < 64; b = b[2:] {
			s = append(s, ConfigAttributeType(binary.BigEndian.Uint16(b)&^0x8000).String())
		}
		return strings.Join(s, " ")
	case ConfigInternalAddressExpiry:
		if len(a.Data) == 4 {
			return fmt.Sprintf("%d s", binary.BigEndian.Uint32(a.Data))
		}
	case ConfigTimeoutPeriodLivenessCheck:
		if len(a.Data) == 4 {
			return fmt.Sprintf("%d s", binary.BigEndian.Uint32(a.Data))
		}
	}
	return hexText(a.Data)
}

// secret says whether the attribute's value must never be shown.
func (t ConfigAttributeType) secret() bool {
	switch t {
	case ConfigXauthUserPassword, ConfigXauthPasscode, ConfigXauthNextPIN, ConfigXauthAnswer:
		return true
	}
	return false
}
