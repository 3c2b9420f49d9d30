package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// AcceptedGroup gives the group that an INVALID_KE_PAYLOAD asks for (RFC 7296
// 3.10.1).
func (n *Notify) AcceptedGroup() (KEMethod, bool) {
	if n.Type != NotifyInvalidKEPayload || len(n.Data) != 2 {
		return 0, false
	}
	return KEMethod(binary.BigEndian.Uint16(n.Data)), true
}

// HashAlgorithms gives the list of a SIGNATURE_HASH_ALGORITHMS, in order
// (RFC 7427 4).
func (n *Notify) HashAlgorithms() ([]HashAlgorithm, bool) {
	if n.Type != NotifySignatureHashAlgorithms || len(n.Data)%2 != 0 {
		return nil, false
	}
	hs := make([]HashAlgorithm, 0, len(n.Data)/2)
	for b := n.Data; len(b) > 0; b = b[2:] {
		hs = append(hs, HashAlgorithm(binary.BigEndian.Uint16(b)))
	}
	return hs, true
}

// Address gives the address of ADDITIONAL_IP4_ADDRESS and
// ADDITIONAL_IP6_ADDRESS (RFC 4555 4.2).
func (n *Notify) Address() (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(n.Data)
	switch n.Type {
	case NotifyAdditionalIP4Address:
		return a, ok && a.Is4()
	case NotifyAdditionalIP6Address:
		return a, ok && a.Is6()
	}
	return netip.Addr{}, false
}

// Gateway is the content of REDIRECT and REDIRECTED_FROM (RFC 5685 3, 9).
type Gateway struct {
	Type    GatewayIDType
	Address netip.Addr // for the address types
	FQDN    string     // as received, not escaped
	Nonce   []byte     // REDIRECT in IKE_SA_INIT: the initiator's nonce data
}

// Gateway reads a REDIRECT or REDIRECTED_FROM.
func (n *Notify) Gateway() (Gateway, bool) {
	if n.Type != NotifyRedirect && n.Type != NotifyRedirectedFrom || len(n.Data) < 2 || int(n.Data[1]) > len(n.Data)-2 {
		return Gateway{}, false
	}
	g := Gateway{Type: GatewayIDType(n.Data[0])}
	id := n.Data[2 : 2+int(n.Data[1])]
	g.Nonce = n.Data[2+len(id):]
	ok := true
	switch g.Type {
	case GatewayIPv4, GatewayIPv6:
		g.Address, ok = netip.AddrFromSlice(id)
		ok = ok && g.Address.Is4() == (g.Type == GatewayIPv4)
	case GatewayFQDN:
		g.FQDN = string(id)
	}
	return g, ok
}

// IPComp gives the CPI and the algorithm of an IPCOMP_SUPPORTED (RFC 7296
// 3.10.1).
func (n *Notify) IPComp() (cpi uint16, t IPCompTransform, ok bool) {
	if n.Type != NotifyIPCompSupported || len(n.Data) < 3 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(n.Data), IPCompTransform(n.Data[2]), true
}

// WindowSize gives the number of messages of a SET_WINDOW_SIZE (RFC 7296 2.3).
func (n *Notify) WindowSize() (uint32, bool) { return n.number(NotifySetWindowSize) }

// AuthLifetime gives the time after which the peer must authenticate again
// (RFC 4478).
func (n *Notify) AuthLifetime() (time.Duration, bool) {
	s, ok := n.number(NotifyAuthLifetime)
	return time.Duration(s) * time.Second, ok
}

// UnsupportedPayload gives the payload type that an
// UNSUPPORTED_CRITICAL_PAYLOAD refuses (RFC 7296 2.5).
func (n *Notify) UnsupportedPayload() (PayloadType, bool) {
	if n.Type != NotifyUnsupportedCriticalPayload || len(n.Data) != 1 {
		return 0, false
	}
	return PayloadType(n.Data[0]), true
}

// MicrosoftStatus gives the status code in Windows' private notify 12345.
func (n *Notify) MicrosoftStatus() (uint32, bool) { return n.number(NotifyMicrosoftStatus) }

func (n *Notify) number(t NotifyType) (uint32, bool) {
	if n.Type != t || len(n.Data) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(n.Data), true
}

// AuthAnnouncement is one entry of SUPPORTED_AUTH_METHODS (RFC 9593 3.2).
type AuthAnnouncement struct {
	Method    AuthMethod
	CertLink  uint8  // number of the CA in CERTREQ that it belongs to, 0 for any
	Algorithm []byte // DER AlgorithmIdentifier, nil where there is none
}

// AuthMethods gives the list of a SUPPORTED_AUTH_METHODS.
func (n *Notify) AuthMethods() ([]AuthAnnouncement, bool) {
	if n.Type != NotifySupportedAuthMethods {
		return nil, false
	}
	var as []AuthAnnouncement
	for b := n.Data; len(b) > 0; {
		size := int(b[0])
		if size < 2 || size > len(b) {
			return as, false
		}
		a := AuthAnnouncement{Method: AuthMethod(b[1])}
		if size > 2 {
			a.CertLink = b[2]
		}
		if size > 3 {
			a.Algorithm = b[3:size]
		}
		as = append(as, a)
		b = b[size:]
	}
	return as, true
}

// Details gives the data of the types that this package knows as named fields
// with their place; off is the offset of the data's first octet. Data of other
// types, and data that does not have the form that its type prescribes, is one
// field "data".
func (n *Notify) Details(off int) []Field {
	if len(n.Data) == 0 {
		return nil
	}
	if fs := n.details(off); fs != nil {
		return fs
	}
	return []Field{{Name: "data", Value: hexText(n.Data), Offset: off, Length: len(n.Data)}}
}

// details gives nil where the data is opaque or malformed.
func (n *Notify) details(off int) []Field {
	one := func(name, value string) []Field {
		return []Field{{Name: name, Value: value, Offset: off, Length: len(n.Data)}}
	}
	switch n.Type {
	case NotifyInvalidKEPayload:
		if g, ok := n.AcceptedGroup(); ok {
			return one("accepted group", fmt.Sprintf("%s (%d)", g, g))
		}
	case NotifySignatureHashAlgorithms:
		if hs, ok := n.HashAlgorithms(); ok {
			return one("hash algorithms", join(hs))
		}
	case NotifyAdditionalIP4Address, NotifyAdditionalIP6Address:
		if a, ok := n.Address(); ok {
			return one("address", a.String())
		}
	case NotifyRedirect, NotifyRedirectedFrom:
		return n.gatewayDetails(off)
	case NotifyIPCompSupported:
		if cpi, t, ok := n.IPComp(); ok {
			fs := []Field{{Name: "CPI", Value: fmt.Sprintf("%04x", cpi), Offset: off, Length: 2},
				{Name: "transform", Value: fmt.Sprintf("%s (%d)", t, t), Offset: off + 2, Length: 1}}
			return appendRest(fs, "attributes", n.Data, 3, off)
		}
	case NotifyUnsupportedCriticalPayload:
		if t, ok := n.UnsupportedPayload(); ok {
			return one("payload type", fmt.Sprintf("%s (%d)", t, uint8(t)))
		}
	case NotifySupportedAuthMethods:
		return n.authMethodDetails(off)
	case NotifyCookie, NotifyCookie2:
		return one("cookie", hexText(n.Data))
	case NotifyNATDetectionSourceIP, NotifyNATDetectionDestinationIP:
		return one("hash", hexText(n.Data))
	case NotifyTicketOpaque:
		return one("ticket", hexText(n.Data))
	case NotifyQuickCrashDetection:
		return one("token", hexText(n.Data))
	}
	return n.numberDetails(off)
}

// numberDetails reads the types whose data is a row of fixed-size fields.
func (n *Notify) numberDetails(off int) []Field {
	at := func(i int) uint32 { return binary.BigEndian.Uint32(n.Data[i:]) }
	field := func(name string, i int, format string, a ...any) Field {
		return Field{Name: name, Value: fmt.Sprintf(format, a...), Offset: off + i, Length: 4}
	}
	size := len(n.Data)
	switch {
	case n.Type == NotifySetWindowSize && size == 4:
		return []Field{field("window size", 0, "%d", at(0))}
	case n.Type == NotifyAuthLifetime && size == 4:
		return []Field{field("lifetime", 0, "%d s", at(0))}
	case n.Type == NotifyInvalidMessageID && size == 4:
		return []Field{field("message id", 0, "%d", at(0))}
	case n.Type == NotifyInvalidSPI && size == 4:
		return []Field{field("SPI", 0, "%08x", at(0))}
	case n.Type == NotifyMicrosoftStatus && size == 4:
		return []Field{field("status code", 0, "%d (0x%08x)", at(0), at(0))}
	case n.Type == NotifyTicketLTOpaque && size >= 4:
		return appendRest([]Field{field("lifetime", 0, "%d s", at(0))}, "ticket", n.Data, 4, off)
	case n.Type == NotifyMessageIDSync && size == 12:
		return []Field{field("nonce", 0, "%08x", at(0)), field("expected send request message id", 4, "%d", at(4)),
			field("expected receive request message id", 8, "%d", at(8))}
	case n.Type == NotifyReplayCounterSync && size == 4:
		return []Field{field("sequence number increment", 0, "%d", at(0))}
	case n.Type == NotifyReplayCounterSync && size == 8:
		return []Field{{Name: "sequence number increment", Offset: off, Length: 8,
			Value: fmt.Sprint(binary.BigEndian.Uint64(n.Data))}}
	case n.Type == NotifySecurePasswordMethods && size%2 == 0:
		ms := make([]SecurePasswordMethod, size/2)
		for i := range ms {
			ms[i] = SecurePasswordMethod(binary.BigEndian.Uint16(n.Data[2*i:]))
		}
		return []Field{{Name: "methods", Value: join(ms), Offset: off, Length: size}}
	case n.Type == NotifyPPKIdentity:
		return ppkDetails(n.Data, off)
	case n.Type == NotifyPPKIdentityKey && size >= 9:
		fs := ppkDetails(n.Data[:size-8], off)
		return appendRest(fs, "PPK confirmation", n.Data, size-8, off)
	case n.Type == NotifyPuzzle && size == 3:
		prf := binary.BigEndian.Uint16(n.Data)
		return []Field{
			{Name: "PRF", Value: TransformName(TransformPRF, prf), Offset: off, Length: 2},
			{Name: "difficulty", Value: fmt.Sprintf("%d zero bits", n.Data[2]), Offset: off + 2, Length: 1},
		}
	}
	return nil
}

func ppkDetails(b []byte, off int) []Field {
	fs := []Field{{Name: "PPK_ID type", Value: PPKIDType(b[0]).String(), Offset: off, Length: 1}}
	if len(b) == 1 {
		return fs
	}
	text := hexText(b[1:])
	if readable(b[1:]) {
		text = Escape(b[1:])
	}
	return append(fs, Field{Name: "PPK_ID", Value: text, Offset: off + 1, Length: len(b) - 1})
}

func (n *Notify) gatewayDetails(off int) []Field {
	g, ok := n.Gateway()
	if !ok {
		return nil
	}
	size := int(n.Data[1])
	id := n.Data[2 : 2+size]
	text := hexText(id)
	switch {
	case g.Address.IsValid():
		text = g.Address.String()
	case g.Type == GatewayFQDN:
		text = Escape(id)
	}
	fs := []Field{{Name: "gateway type", Value: g.Type.String(), Offset: off, Length: 1},
		{Name: "gateway", Value: text, Offset: off + 2, Length: size}}
	return appendRest(fs, "nonce", n.Data, 2+size, off)
}

func (n *Notify) authMethodDetails(off int) []Field {
	as, ok := n.AuthMethods()
	if !ok {
		return nil
	}
	var fs []Field
	i := 0
	for _, a := range as {
		text := a.Method.String()
		if a.Algorithm != nil {
			text += ", " + SignatureAlgorithmName(a.Algorithm)
		}
		if a.CertLink != 0 {
			text += fmt.Sprintf(", for CA %d of CERTREQ", a.CertLink)
		}
		size := int(n.Data[i])
		fs = append(fs, Field{Name: "authentication method", Value: text, Offset: off + i, Length: size})
		i += size
	}
	return fs
}

// appendRest adds what lies behind the first i octets of data as one field.
func appendRest(fs []Field, name string, data []byte, i, off int) []Field {
	if i >= len(data) {
		return fs
	}
	return append(fs, Field{Name: name, Value: hexText(data[i:]), Offset: off + i, Length: len(data) - i})
}

func join[T fmt.Stringer](vs []T) string {
	var s []string
	for _, v := range vs {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}
