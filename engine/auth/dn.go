package auth

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
)

// maxRDNs bounds the parts of a distinguished name.
const maxRDNs = 64

// attributeOIDs are the attribute types of distinguished names that operators
// write.
var attributeOIDs = map[string]asn1.ObjectIdentifier{
	"CN": {2, 5, 4, 3}, "SN": {2, 5, 4, 4}, "SERIALNUMBER": {2, 5, 4, 5}, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7},
	"ST": {2, 5, 4, 8}, "STREET": {2, 5, 4, 9}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "T": {2, 5, 4, 12},
	"G": {2, 5, 4, 42}, "I": {2, 5, 4, 43}, "DC": {0, 9, 2342, 19200300, 100, 1, 25},
	"UID": {0, 9, 2342, 19200300, 100, 1, 1}, "E": {1, 2, 840, 113549, 1, 9, 1},
	"EMAILADDRESS": {1, 2, 840, 113549, 1, 9, 1},
}

// encodeDN makes a distinguished name in DER from "C=CH, O=Example, CN=gate".
// A comma in a value is written "\,".
func encodeDN(s string) ([]byte, error) {
	var rdns []pkix.RelativeDistinguishedNameSET
	for _, part := range splitDN(s) {
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.ToUpper(strings.TrimSpace(key)), strings.TrimSpace(value)
		oid := attributeOIDs[key]
		switch {
		case !ok || value == "":
			return nil, fmt.Errorf("%q is not of the form CN=value", part)
		case oid == nil:
			return nil, fmt.Errorf("unknown attribute %q of a distinguished name", key)
		case len(rdns) == maxRDNs:
			return nil, fmt.Errorf("more than %d parts", maxRDNs)
		}
		v := asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagUTF8String, Bytes: []byte(value)}
		switch {
		case key == "E" || key == "EMAILADDRESS" || key == "DC":
			v.Tag = asn1.TagIA5String
		case key == "C" || key == "SERIALNUMBER":
			v.Tag = asn1.TagPrintableString
		}
		rdns = append(rdns, pkix.RelativeDistinguishedNameSET{{Type: oid, Value: v}})
	}
	return asn1.Marshal(pkix.RDNSequence(rdns))
}

// splitDN cuts at commas that no backslash stands before.
func splitDN(s string) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ',':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(parts, b.String())
}

// rawRDN is a part of a name with its values as they stand.
type rawRDN struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type rawRDNSet []rawRDN

// sameDN compares names in DER part for part, without regard to the string
// type, to case, or to space around a value (RFC 5280 7.1).
func sameDN(a, b []byte) bool {
	x, okX := parseDN(a)
	y, okY := parseDN(b)
	if !okX || !okY || len(x) != len(y) {
		return false
	}
	for i := range x {
		if !x[i].Type.Equal(y[i].Type) ||
			!bytes.EqualFold(bytes.TrimSpace(x[i].Value.Bytes), bytes.TrimSpace(y[i].Value.Bytes)) {
			return false
		}
	}
	return true
}

// parseDN reads a name whose every part has one attribute.
func parseDN(der []byte) ([]rawRDN, bool) {
	if len(der) > 16*maxID {
		return nil, false
	}
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil || len(rest) > 0 || outer.Class != asn1.ClassUniversal || outer.Tag != asn1.TagSequence {
		return nil, false
	}
	var parts []rawRDN
	for left := outer.Bytes; len(left) > 0; {
		var set rawRDNSet
		left, err = asn1.UnmarshalWithParams(left, &set, "set")
		if err != nil || len(set) != 1 || len(parts) == maxRDNs {
			return nil, false
		}
		parts = append(parts, set[0])
	}
	return parts, true
}
