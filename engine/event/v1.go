package event

import (
	"strconv"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// appendV1Payload appends what is particular to an IKEv1 payload, and of a
// payload without a decoder its length.
func appendV1Payload(b []byte, p *wire.Payload, k *IKE) []byte {
	switch body := p.Body.(type) {
	case *wire.V1SA:
		b = appendUint(b, "doi", uint64(body.DOI))
		b = appendUint(b, "situation", uint64(body.Situation))
		b = append(b, `,"proposals":[`...)
		for i := range body.Proposals {
			b = appendV1Proposal(comma(b, i), &body.Proposals[i])
		}
		b = append(b, ']')
	case *wire.V1KE:
		b = appendUint(b, "data_length", uint64(len(body.Data)))
	case *wire.V1ID:
		b = appendUint(b, "id_type", uint64(body.Type))
		b = appendText(b, "id_type_name", body.Type.String())
		b = appendText(b, "id", body.String())
		b = appendUint(b, "protocol_id", uint64(body.Protocol))
		b = appendUint(b, "port", uint64(body.Port))
		b = appendHex(b, "data", body.Data)
	case *wire.V1Cert:
		b = appendUint(b, "encoding", uint64(body.Encoding))
		b = appendText(b, "encoding_name", body.Encoding.String())
		b = appendUint(b, "data_length", uint64(len(body.Data)))
		b = appendHex(b, "data", body.Data)
	case *wire.V1CertReq:
		b = appendUint(b, "encoding", uint64(body.Encoding))
		b = appendText(b, "encoding_name", body.Encoding.String())
		b = appendHex(b, "data", body.Authority)
	case *wire.V1Hash:
		b = appendHex(b, "data", body.Data)
	case *wire.V1Sig:
		b = appendUint(b, "data_length", uint64(len(body.Data)))
	case *wire.V1Notify:
		b = appendText(b, "notify", body.Type.String())
		b = appendUint(b, "notify_id", uint64(body.Type))
		b = appendUint(b, "doi", uint64(body.DOI))
		b = appendUint(b, "protocol_id", uint64(body.Protocol))
		b = appendHex(b, "spi", body.SPI)
		b = appendHex(b, "data", body.Data)
	case *wire.V1Delete:
		b = appendUint(b, "doi", uint64(body.DOI))
		b = appendUint(b, "protocol_id", uint64(body.Protocol))
		b = append(b, `,"spis":[`...)
		for i, spi := range body.SPIs {
			b = append(comma(b, i), '"')
			b = append(appendHexBytes(b, spi), '"')
		}
		b = append(b, ']')
	case *wire.V1NATD:
		b = appendHex(b, "data", body.Data)
	case *wire.V1NATOA:
		b = appendUint(b, "id_type", uint64(body.Type))
		b = appendText(b, "id_type_name", body.Type.String())
		b = appendAddr(b, `,"address":"`, body.Address)
	case *wire.V1Encrypted:
		b = appendUint(b, "data_length", uint64(len(body.Data)))
		b = appendInner(b, k)
	case *wire.Nonce:
		b = appendUint(b, "data_length", uint64(len(body.Data)))
	case *wire.VendorID:
		b = appendVendor(b, body.Data)
	default:
		b = appendUint(b, "data_length", uint64(max(0, p.Length-4)))
	}
	return b
}

func appendV1Proposal(b []byte, p *wire.V1Proposal) []byte {
	b = append(b, `{"number":`...)
	b = strconv.AppendUint(b, uint64(p.Number), 10)
	b = appendText(b, "protocol", p.Protocol.String())
	b = appendUint(b, "protocol_id", uint64(p.Protocol))
	b = appendHex(b, "spi", p.SPI)
	b = append(b, `,"transforms":[`...)
	for i := range p.Transforms {
		t := &p.Transforms[i]
		b = append(comma(b, i), `{"number":`...)
		b = strconv.AppendUint(b, uint64(t.Number), 10)
		b = appendUint(b, "id", uint64(t.ID))
		b = appendText(b, "name", wire.V1TransformName(p.Protocol, t.ID))
		b = append(b, `,"attributes":[`...)
		for j := range t.Attributes {
			a := &t.Attributes[j]
			b = append(comma(b, j), `{"type":`...)
			b = strconv.AppendUint(b, uint64(a.Type), 10)
			b = appendText(b, "name", wire.V1AttributeName(p.Protocol, a.Type))
			if a.Short {
				b = appendUint(b, "value", uint64(a.Value))
				if name := wire.V1AttributeValueName(p.Protocol, a.Type, a.Value); name != "" {
					b = appendText(b, "value_name", name)
				}
			} else {
				b = appendHex(b, "data", a.Data)
			}
			b = append(b, '}')
		}
		b = append(b, `]}`...)
	}
	return append(b, `]}`...)
}
