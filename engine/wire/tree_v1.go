package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// v1Body adds the fields of an IKEv1 body.
func (f *fields) v1Body(body Body) {
	switch b := body.(type) {
	case *V1SA:
		f.add(4, "DOI", fmt.Sprintf("%s (%d)", b.DOI, uint32(b.DOI)))
		f.add(4, "situation", fmt.Sprintf("%#08x", b.Situation))
		for i := range b.Proposals {
			f.list = append(f.list, b.Proposals[i].tree())
		}
	case *V1KE:
		f.bytes("key exchange data", b.Data)
	case *V1ID:
		f.add(1, "type", numbered(b.Type, int(b.Type)))
		f.add(1, "IP protocol", fmt.Sprint(b.Protocol))
		f.add(2, "port", fmt.Sprint(b.Port))
		f.add(len(b.Data), "identity", cut(b.String()))
	case *V1Cert:
		f.add(1, "encoding", numbered(b.Encoding, int(b.Encoding)))
		f.certificate(b.Encoding, b.Data)
	case *V1CertReq:
		f.add(1, "encoding", numbered(b.Encoding, int(b.Encoding)))
		if dn, ok := DNText(b.Authority); ok {
			f.add(len(b.Authority), "authority", cut(dn))
		} else {
			f.bytes("authority", b.Authority)
		}
	case *V1Hash:
		f.bytes("hash", b.Data)
	case *V1Sig:
		f.bytes("signature", b.Data)
	case *V1Notify:
		f.add(4, "DOI", fmt.Sprintf("%s (%d)", b.DOI, uint32(b.DOI)))
		f.add(1, "protocol", numbered(b.Protocol, int(b.Protocol)))
		f.add(1, "SPI size", fmt.Sprint(len(b.SPI)))
		f.add(2, "type", numbered(b.Type, int(b.Type)))
		f.bytes("SPI", b.SPI)
		if (b.Type == V1NotifyRUThere || b.Type == V1NotifyRUThereAck) && len(b.Data) == 4 {
			f.add(4, "sequence number", fmt.Sprint(binary.BigEndian.Uint32(b.Data)))
		} else {
			f.bytes("data", b.Data)
		}
	case *V1Delete:
		f.add(4, "DOI", fmt.Sprintf("%s (%d)", b.DOI, uint32(b.DOI)))
		f.add(1, "protocol", numbered(b.Protocol, int(b.Protocol)))
		f.spis(b.SPISize, b.SPIs)
	case *V1Attributes:
		f.add(1, "type", numbered(b.Type, int(b.Type)))
		f.skip(1)
		f.add(2, "identifier", fmt.Sprint(b.Identifier))
		for i := range b.Attributes {
			a := &b.Attributes[i]
			t := ConfigAttributeType(a.Type)
			long := ConfigAttribute{Type: t, Data: a.Data}
			switch {
			case a.Short && t.secret():
				f.add(4, numbered(t, int(t)), "[2 octets]")
			case a.Short:
				f.attribute(a, t.String(), "")
			default:
				f.add(4+len(a.Data), numbered(t, int(t)), long.Text())
			}
		}
	case *V1NATD:
		f.bytes("hash", b.Data)
	case *V1NATOA:
		f.add(1, "type", numbered(b.Type, int(b.Type)))
		f.skip(3)
		if b.Address.IsValid() {
			f.add(b.Address.BitLen()/8, "address", b.Address.String())
		}
	case *V1Fragment:
		f.add(2, "packet", fmt.Sprint(b.ID))
		f.add(1, "fragment number", fmt.Sprint(b.Number))
		f.add(1, "last", yesNo(b.Last))
		f.bytes("data", b.Data)
	}
}

func (p *V1Proposal) tree() Field {
	f := &fields{off: p.Offset + 4}
	f.add(1, "number", fmt.Sprint(p.Number))
	f.add(1, "protocol", numbered(p.Protocol, int(p.Protocol)))
	f.add(1, "SPI size", fmt.Sprint(len(p.SPI)))
	f.add(1, "transforms", fmt.Sprint(len(p.Transforms)))
	f.bytes("SPI", p.SPI)
	for i := range p.Transforms {
		f.list = append(f.list, p.Transforms[i].tree(p.Protocol))
	}
	return Field{Name: fmt.Sprintf("Proposal %d", p.Number), Value: p.Protocol.String(),
		Offset: p.Offset, Length: p.Length, Children: f.list}
}

func (t *V1Transform) tree(p V1ProtocolID) Field {
	f := &fields{off: t.Offset + 4}
	f.add(1, "number", fmt.Sprint(t.Number))
	f.add(1, "id", fmt.Sprintf("%s (%d)", V1TransformName(p, t.ID), t.ID))
	f.skip(2)
	for i := range t.Attributes {
		a := &t.Attributes[i]
		name := V1AttributeName(p, a.Type)
		v, number := a.Uint()
		switch {
		case a.Short:
			f.attribute(a, name, V1AttributeValueName(p, a.Type, a.Value))
		case number:
			f.add(4+len(a.Data), fmt.Sprintf("%s (%d)", name, a.Type), fmt.Sprint(v))
		default:
			f.attribute(a, name, "")
		}
	}
	return Field{Name: fmt.Sprintf("Transform %d", t.Number), Value: t.Text(p),
		Offset: t.Offset, Length: t.Length, Children: f.list}
}

// Text gives the transform of a proposal for p in one line, "AES-CBC, key
// of 256 bits, SHA2-256, Pre-shared key, MODP_2048, 3600 Seconds": the values of its
// attributes in their order, behind the transform's name where that says
// something (KEY_IKE does not).
func (t *V1Transform) Text(p V1ProtocolID) string {
	keyLength, lifeType, life := uint16(V1AttrSAKeyLength), uint16(V1AttrSALifeType), uint16(V1AttrSALife)
	var words []string
	if p == V1ProtocolISAKMP {
		keyLength, lifeType, life = V1AttrKeyLength, V1AttrLifeType, V1AttrLife
	} else {
		words = append(words, V1TransformName(p, t.ID))
	}
	unit := "units"
	for i := range t.Attributes {
		a := &t.Attributes[i]
		v, number := a.Uint()
		switch {
		case a.Type == lifeType && a.Short:
			unit = V1AttributeValueName(p, a.Type, a.Value)
		case a.Type == life && number:
			words = append(words, fmt.Sprintf("%d %s", v, unit))
		case a.Type == keyLength && number:
			words = append(words, fmt.Sprintf("key of %d bits", v))
		case a.Short && V1AttributeValueName(p, a.Type, a.Value) != "":
			words = append(words, V1AttributeValueName(p, a.Type, a.Value))
		case number:
			words = append(words, fmt.Sprintf("%s %d", V1AttributeName(p, a.Type), v))
		default:
			words = append(words, V1AttributeName(p, a.Type))
		}
	}
	return cut(strings.Join(words, ", "))
}
