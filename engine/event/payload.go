package event

import (
	"strconv"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// appendPayload appends one payload; where keys opened the message, its SK or
// SKF payload carries the inner payloads.
func appendPayload(b []byte, p *wire.Payload, k *IKE) []byte {
	b = append(b, `{"type":`...)
	b = AppendString(b, p.Type.String())
	b = appendUint(b, "type_id", uint64(p.Type))
	b = appendBool(append(b, `,"critical":`...), p.Critical)
	b = appendUint(b, "offset", uint64(p.Offset))
	b = appendUint(b, "length", uint64(p.Length))
	switch body := p.Body.(type) {
	case *wire.SA:
		b = append(b, `,"proposals":[`...)
		for i := range body.Proposals {
			b = appendProposal(comma(b, i), &body.Proposals[i])
		}
		b = append(b, ']')
	case *wire.KE:
		b = appendUint(b, "group", uint64(body.Group))
		b = appendText(b, "group_name", body.Group.String())
		b = appendUint(b, "data_length", uint64(len(body.Data)))
	case *wire.ID:
		b = appendUint(b, "id_type", uint64(body.Type))
		b = appendText(b, "id_type_name", body.Type.String())
		b = appendText(b, "id", body.String())
		b = appendHex(b, "data", body.Data)
	case *wire.Cert:
		b = appendUint(b, "encoding", uint64(body.Encoding))
		b = appendText(b, "encoding_name", body.Encoding.String())
		b = appendUint(b, "data_length", uint64(len(body.Data)))
		b = appendHex(b, "data", body.Data)
	case *wire.CertReq:
		b = appendUint(b, "encoding", uint64(body.Encoding))
		b = appendText(b, "encoding_name", body.Encoding.String())
		b = appendHex(b, "data", body.Authority)
	case *wire.Auth:
		b = appendUint(b, "method", uint64(body.Method))
		b = appendText(b, "method_name", body.Method.String())
		b = appendUint(b, "data_length", uint64(len(body.Data)))
	case *wire.Nonce:
		b = appendUint(b, "data_length", uint64(len(body.Data)))
	case *wire.Notify:
		b = appendText(b, "notify", body.Type.String())
		b = appendUint(b, "notify_id", uint64(body.Type))
		b = appendUint(b, "protocol_id", uint64(body.Protocol))
		b = appendHex(b, "spi", body.SPI)
		b = appendHex(b, "data", body.Data)
	case *wire.Delete:
		b = appendUint(b, "protocol_id", uint64(body.Protocol))
		b = appendText(b, "protocol", body.Protocol.String())
		b = append(b, `,"spis":[`...)
		for i, spi := range body.SPIs {
			b = append(comma(b, i), '"')
			b = append(appendHexBytes(b, spi), '"')
		}
		b = append(b, ']')
	case *wire.VendorID:
		b = appendVendor(b, body.Data)
	case *wire.TS:
		b = append(b, `,"selectors":[`...)
		for i := range body.Selectors {
			b = appendSelector(comma(b, i), &body.Selectors[i])
		}
		b = append(b, ']')
	case *wire.Encrypted:
		b = appendUint(b, "data_length", uint64(len(body.Data)))
		b = appendInner(b, k)
	case *wire.Fragment:
		b = appendUint(b, "fragment", uint64(body.Number))
		b = appendUint(b, "total", uint64(body.Total))
		b = appendUint(b, "data_length", uint64(len(body.Data)))
		b = appendInner(b, k)
	case *wire.Config:
		b = appendUint(b, "cfg_type", uint64(body.Type))
		b = appendText(b, "cfg_type_name", body.Type.String())
		b = append(b, `,"attributes":[`...)
		for i := range body.Attributes {
			a := &body.Attributes[i]
			b = append(comma(b, i), `{"type":`...)
			b = strconv.AppendUint(b, uint64(a.Type), 10)
			b = appendText(b, "name", a.Type.String())
			b = appendHex(b, "data", a.Data)
			b = append(b, '}')
		}
		b = append(b, ']')
	case *wire.EAP:
		b = appendUint(b, "code", uint64(body.Code))
		b = appendText(b, "code_name", body.Code.String())
		b = appendUint(b, "identifier", uint64(body.Identifier))
		if body.HasType {
			b = appendUint(b, "eap_type", uint64(body.Type))
			b = appendText(b, "eap_type_name", body.Type.String())
		}
		b = appendUint(b, "data_length", uint64(len(body.Data)))
	default:
		b = appendV1Payload(b, p, k)
	}
	return append(b, '}')
}

// appendInner appends the payloads that keys opened, if any: for a set of IKE
// fragments they stand on the message that completed it.
func appendInner(b []byte, k *IKE) []byte {
	if k == nil || k.Inner == nil {
		return b
	}
	b = append(b, `,"payloads":[`...)
	for i := range k.Inner {
		b = appendPayload(comma(b, i), &k.Inner[i], nil)
	}
	return append(b, ']')
}

func appendProposal(b []byte, p *wire.Proposal) []byte {
	b = append(b, `{"number":`...)
	b = strconv.AppendUint(b, uint64(p.Number), 10)
	b = appendText(b, "protocol", p.Protocol.String())
	b = appendUint(b, "protocol_id", uint64(p.Protocol))
	b = appendHex(b, "spi", p.SPI)
	b = append(b, `,"transforms":[`...)
	for i := range p.Transforms {
		t := &p.Transforms[i]
		b = append(comma(b, i), `{"type":`...)
		b = AppendString(b, t.Type.String())
		b = appendUint(b, "type_id", uint64(t.Type))
		b = appendUint(b, "id", uint64(t.ID))
		b = appendText(b, "name", t.Name())
		if n := t.KeyLength(); n > 0 {
			b = appendUint(b, "key_length", uint64(n))
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

func appendSelector(b []byte, s *wire.TrafficSelector) []byte {
	b = append(b, `{"ts_type":`...)
	b = strconv.AppendUint(b, uint64(s.Type), 10)
	b = appendText(b, "ts_type_name", s.Type.String())
	b = appendUint(b, "protocol_id", uint64(s.Protocol))
	if s.Start.IsValid() {
		b = appendUint(b, "start_port", uint64(s.StartPort))
		b = appendUint(b, "end_port", uint64(s.EndPort))
		b = appendAddr(b, `,"start":"`, s.Start)
		b = appendAddr(b, `,"end":"`, s.End)
	} else {
		b = appendHex(b, "data", s.Data)
	}
	return append(b, '}')
}

func appendVendor(b, data []byte) []byte {
	b = appendHex(b, "data", data)
	if name, ok := wire.VendorName(data); ok {
		b = appendText(b, "claims", name)
	}
	return b
}

func appendUint(b []byte, key string, v uint64) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return strconv.AppendUint(b, v, 10)
}

func appendText(b []byte, key, v string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return AppendString(b, v)
}

func appendHex(b []byte, key string, data []byte) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':', '"')
	b = appendHexBytes(b, data)
	return append(b, '"')
}
