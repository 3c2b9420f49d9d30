package event

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TimeLayout is RFC 3339 with nanoseconds; times are written in UTC.
const TimeLayout = "2006-01-02T15:04:05.000000000Z"

// AppendJSON appends the JSON object of a packet event, without a line end,
// and dst itself for any other event. It does not allocate beyond dst's
// growth.
func AppendJSON(dst []byte, e *Event) []byte {
	p := e.Packet
	if p == nil {
		return dst
	}
	b := append(dst, `{"frame":`...)
	b = strconv.AppendInt(b, e.Frame, 10)
	if !e.Time.IsZero() {
		b = append(b, `,"time":"`...)
		b = appendTime(b, e.Time)
		b = append(b, '"')
	}
	b = appendAddr(b, `,"src":"`, p.Src)
	b = appendAddr(b, `,"dst":"`, p.Dst)
	if p.Encap != IP {
		b = append(b, `,"sport":`...)
		b = strconv.AppendUint(b, uint64(p.SrcPort), 10)
		b = append(b, `,"dport":`...)
		b = strconv.AppendUint(b, uint64(p.DstPort), 10)
	}
	b = append(b, `,"proto":"`...)
	b = append(b, p.Proto.String()...)
	b = append(b, `","encap":"`...)
	b = append(b, p.Encap.String()...)
	b = append(b, '"')
	if len(p.VLANs) > 0 {
		b = append(b, `,"vlans":[`...)
		for i, v := range p.VLANs {
			b = comma(b, i)
			b = strconv.AppendUint(b, uint64(v), 10)
		}
		b = append(b, ']')
	}
	if len(p.Outer) > 0 {
		b = append(b, `,"outer":[`...)
		for i := range p.Outer {
			b = appendTunnel(comma(b, i), &p.Outer[i])
		}
		b = append(b, ']')
	}
	if len(p.IPFragments) > 0 {
		b = appendFrames(append(b, `,"ip_fragments":`...), p.IPFragments)
	}
	if p.Truncated {
		b = append(b, `,"truncated":true`...)
	}
	switch {
	case p.IKE != nil:
		b = appendIKE(append(b, `,"ike":`...), p)
	case p.ESP != nil:
		b = appendSecurity(append(b, `,"esp":`...), p, p.ESP)
	case p.AH != nil:
		b = appendSecurity(append(b, `,"ah":`...), p, p.AH)
	}
	return append(b, '}')
}

func appendTunnel(b []byte, t *Tunnel) []byte {
	b = append(b, `{"kind":"`...)
	b = append(b, t.Kind...)
	b = append(b, '"')
	b = appendAddr(b, `,"src":"`, t.Src)
	b = appendAddr(b, `,"dst":"`, t.Dst)
	if t.ID != 0 {
		b = append(b, `,"id":`...)
		b = strconv.AppendUint(b, uint64(t.ID), 10)
	}
	return append(b, '}')
}

func appendIKE(b []byte, p *Packet) []byte {
	k := p.IKE
	m := k.Message
	h := &m.Header
	b = append(b, `{"spi_i":"`...)
	b = appendHex64(b, uint64(h.InitiatorSPI))
	b = append(b, `","spi_r":"`...)
	b = appendHex64(b, uint64(h.ResponderSPI))
	b = append(b, `","version":"`...)
	b = strconv.AppendUint(b, uint64(h.Version.Major()), 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(h.Version.Minor()), 10)
	b = append(b, `","exchange":`...)
	b = AppendString(b, h.Exchange.String())
	b = append(b, `,"exchange_type":`...)
	b = strconv.AppendUint(b, uint64(h.Exchange), 10)
	if p.Proto == IKEv2 {
		b = appendBool(append(b, `,"initiator":`...), h.Initiator())
		b = appendBool(append(b, `,"response":`...), h.Response())
	} else {
		b = appendBool(append(b, `,"commit":`...), h.Flags&wire.FlagV1Commit != 0)
		b = appendBool(append(b, `,"auth_only":`...), h.Flags&wire.FlagV1AuthOnly != 0)
	}
	b = append(b, `,"flags":`...)
	b = strconv.AppendUint(b, uint64(h.Flags), 10)
	b = append(b, `,"message_id":`...)
	b = strconv.AppendUint(b, uint64(h.MessageID), 10)
	b = append(b, `,"length":`...)
	b = strconv.AppendUint(b, uint64(h.Length), 10)

	b = append(b, `,"payloads":[`...)
	for i := range m.Payloads {
		b = appendPayload(comma(b, i), &m.Payloads[i], k)
	}
	b = append(b, ']')
	first, encrypted := m.Sealed()
	b = appendBool(append(b, `,"encrypted":`...), encrypted)
	b = appendBool(append(b, `,"decrypted":`...), k.Decrypted)
	if k.DecryptError != "" {
		b = AppendString(append(b, `,"decrypt_error":`...), k.DecryptError)
	}
	b = append(b, `,"first_inner":"`...)
	if first != 0 {
		b = append(b, first.String()...)
	}
	b = append(b, '"')
	if f := k.Fragment; f != nil {
		b = append(b, `,"fragment":{"number":`...)
		b = strconv.AppendUint(b, uint64(f.Number), 10)
		b = append(b, `,"total":`...)
		b = strconv.AppendUint(b, uint64(f.Total), 10)
		if len(f.Frames) > 0 {
			b = appendFrames(append(b, `,"frames":`...), f.Frames)
		}
		b = append(b, '}')
	}
	b = append(b, `,"problems":[`...)
	for i := range m.Problems {
		b = appendProblem(comma(b, i), &m.Problems[i])
	}
	for i := range k.InnerProblems {
		b = appendProblem(comma(b, i+len(m.Problems)), &k.InnerProblems[i])
	}
	return append(b, `]}`...)
}

func appendProblem(b []byte, p *wire.Problem) []byte {
	b = append(b, `{"offset":`...)
	b = strconv.AppendInt(b, int64(p.Offset), 10)
	if p.Payload != 0 {
		b = AppendString(append(b, `,"payload":`...), p.Payload.String())
	}
	b = appendBool(append(b, `,"fatal":`...), p.Fatal)
	b = AppendString(append(b, `,"what":`...), p.What)
	if p.RFC != "" {
		b = AppendString(append(b, `,"rfc":`...), p.RFC)
	}
	return append(b, '}')
}

func appendSecurity(b []byte, p *Packet, s *SecurityPacket) []byte {
	b = append(b, `{"spi":"`...)
	b = appendHex32(b, uint32(s.SPI))
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, uint64(s.Seq), 10)
	b = append(b, `,"length":`...)
	b = strconv.AppendInt(b, int64(p.Length), 10)
	b = appendBool(append(b, `,"decrypted":`...), s.Decrypted)
	if s.DecryptError != "" {
		b = AppendString(append(b, `,"decrypt_error":`...), s.DecryptError)
	}
	if s.Decrypted || s.ICVOK {
		b = appendBool(append(b, `,"icv_ok":`...), s.ICVOK)
	}
	if s.Decrypted || p.Proto == AH {
		b = append(b, `,"next_header":`...)
		b = strconv.AppendUint(b, uint64(s.NextHeader), 10)
	}
	if in := s.Inner; in != nil {
		b = append(b, `,"inner":{"protocol":`...)
		b = strconv.AppendUint(b, uint64(in.Protocol), 10)
		if in.Src.IsValid() {
			b = appendAddr(b, `,"src":"`, in.Src)
			b = appendAddr(b, `,"dst":"`, in.Dst)
		}
		if in.SrcPort != 0 || in.DstPort != 0 {
			b = append(b, `,"sport":`...)
			b = strconv.AppendUint(b, uint64(in.SrcPort), 10)
			b = append(b, `,"dport":`...)
			b = strconv.AppendUint(b, uint64(in.DstPort), 10)
		}
		b = append(b, `,"length":`...)
		b = strconv.AppendInt(b, int64(in.Length), 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

func appendAddr(b []byte, key string, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	b = append(b, key...)
	b = a.AppendTo(b)
	return append(b, '"')
}

func appendFrames(b []byte, frames []int64) []byte {
	b = append(b, '[')
	for i, f := range frames {
		b = strconv.AppendInt(comma(b, i), f, 10)
	}
	return append(b, ']')
}

const hexDigits = "0123456789abcdef"

func appendHex64(b []byte, v uint64) []byte {
	for i := 60; i >= 0; i -= 4 {
		b = append(b, hexDigits[v>>uint(i)&15])
	}
	return b
}

func appendHex32(b []byte, v uint32) []byte {
	for i := 28; i >= 0; i -= 4 {
		b = append(b, hexDigits[v>>uint(i)&15])
	}
	return b
}

func appendHexBytes(b, data []byte) []byte { return hex.AppendEncode(b, data) }

// appendTime appends t as TimeLayout says, faster than Time.AppendFormat.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	y, mo, d := t.Date()
	if y < 0 || y > 9999 {
		return t.AppendFormat(b, TimeLayout)
	}
	h, mi, s := t.Clock()
	b = pad(b, y, 4)
	b = pad(append(b, '-'), int(mo), 2)
	b = pad(append(b, '-'), d, 2)
	b = pad(append(b, 'T'), h, 2)
	b = pad(append(b, ':'), mi, 2)
	b = pad(append(b, ':'), s, 2)
	b = pad(append(b, '.'), t.Nanosecond(), 9)
	return append(b, 'Z')
}

// pad appends v with leading zeros to width digits.
func pad(b []byte, v, width int) []byte {
	n := len(b) + width
	for range width {
		b = append(b, '0')
	}
	for i := n - 1; v > 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}

// AppendString appends s as a JSON string; what is not valid UTF-8 becomes
// U+FFFD, control characters and those that turn the direction of text are
// written as escapes.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, `\n`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			i++
			start = i
			continue
		}
		if r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			b = append(b, s[start:i]...)
			b = append(b, `\u`...)
			b = append(b, hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			i += n
			start = i
			continue
		}
		i += n
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
