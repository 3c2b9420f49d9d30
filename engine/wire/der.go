package wire

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
)

// The DER tags that names are made of.
const (
	derOID       = 0x06
	derUTF8      = 0x0c
	derBMP       = 0x1e
	derUniversal = 0x1c
	derSequence  = 0x30
	derSet       = 0x31
)

// derNext takes one element from the front of b: its tag, its contents and
// what follows. Only single-octet tags and lengths under 65536 occur in names
// and algorithm identifiers.
func derNext(b []byte) (tag byte, contents, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, nil, nil, false
	}
	tag = b[0]
	n, header := int(b[1]), 2
	switch {
	case b[1] == 0x81 && len(b) >= 3:
		n, header = int(b[2]), 3
	case b[1] == 0x82 && len(b) >= 4:
		n, header = int(b[2])<<8|int(b[3]), 4
	case b[1] >= 0x80:
		return 0, nil, nil, false
	}
	if n > len(b)-header {
		return 0, nil, nil, false
	}
	return tag, b[header : header+n], b[header+n:], true
}

// oidText gives the dotted form of an object identifier's contents, "" where
// they are malformed.
func oidText(b []byte) string {
	var s strings.Builder
	var v uint64
	open := false
	for i, c := range b {
		if v > math.MaxUint64>>7 || i > 64 {
			return ""
		}
		v = v<<7 | uint64(c&0x7f)
		open = c&0x80 != 0
		if open {
			continue
		}
		if s.Len() == 0 {
			first := min(v/40, 2)
			s.WriteString(strconv.FormatUint(first, 10))
			v -= first * 40
		}
		s.WriteByte('.')
		s.WriteString(strconv.FormatUint(v, 10))
		v = 0
	}
	if open {
		return ""
	}
	return s.String()
}

// attributeTypes are the short names of attribute types in distinguished
// names, as strongSwan prints them (RFC 4519, RFC 2985).
var attributeTypes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "S", "2.5.4.5": "SN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "T", "2.5.4.13": "D",
	"2.5.4.17": "postalCode", "2.5.4.41": "N", "2.5.4.42": "G", "2.5.4.43": "I", "2.5.4.45": "ID",
	"2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym",
	"1.2.840.113549.1.9.1": "E", "1.2.840.113549.1.9.2": "unstructuredName",
	"1.2.840.113549.1.9.8":      "unstructuredAddress",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
}

// maxRDNs bounds the attributes shown of one distinguished name.
const maxRDNs = 64

// DNText writes a DER distinguished name as swanctl does, "C=CH, O=Example,
// CN=gate", in the order of the encoding, each value escaped. ok is false
// where b is no distinguished name; the text is then its hexadecimal digits.
func DNText(b []byte) (text string, ok bool) {
	tag, rdns, rest, ok := derNext(b)
	if !ok || tag != derSequence || len(rest) > 0 {
		return hex.EncodeToString(b), false
	}
	var parts []string
	for len(rdns) > 0 {
		var set []byte
		tag, set, rdns, ok = derNext(rdns)
		if !ok || tag != derSet || len(set) == 0 {
			return hex.EncodeToString(b), false
		}
		for len(set) > 0 {
			var atv []byte
			tag, atv, set, ok = derNext(set)
			if !ok || tag != derSequence || len(parts) == maxRDNs {
				return hex.EncodeToString(b), false
			}
			part, ok := attributeText(atv)
			if !ok {
				return hex.EncodeToString(b), false
			}
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", "), true
}

// attributeText writes one attribute of a distinguished name, "CN=gate".
func attributeText(atv []byte) (string, bool) {
	tag, oid, rest, ok := derNext(atv)
	if !ok || tag != derOID {
		return "", false
	}
	tag, value, rest, ok := derNext(rest)
	if !ok || len(rest) > 0 {
		return "", false
	}
	name := oidText(oid)
	if name == "" {
		return "", false
	}
	if short := attributeTypes[name]; short != "" {
		name = short
	}
	switch {
	case tag == derBMP && len(value)%2 == 0:
		u := make([]uint16, len(value)/2)
		for i := range u {
			u[i] = uint16(value[2*i])<<8 | uint16(value[2*i+1])
		}
		return name + "=" + Escape([]byte(string(utf16.Decode(u)))), true
	case tag >= derUTF8 && tag <= derUniversal:
		return name + "=" + Escape(value), true
	}
	return name + "=#" + hex.EncodeToString(value), true
}

// CertNames gives issuer and subject of a DER X.509 certificate as DNText
// writes them. It reads no further than it must and verifies nothing; ok is
// false where b is no certificate.
func CertNames(b []byte) (issuer, subject string, ok bool) {
	const explicitVersion, integer = 0xa0, 0x02
	tag, cert, _, ok := derNext(b)
	if !ok || tag != derSequence {
		return "", "", false
	}
	tag, tbs, _, ok := derNext(cert)
	if !ok || tag != derSequence {
		return "", "", false
	}
	tag, _, rest, ok := derNext(tbs)
	if ok && tag == explicitVersion {
		tag, _, rest, ok = derNext(rest)
	}
	if !ok || tag != integer {
		return "", "", false
	}
	var names [2]string
	// signature, issuer, validity, subject
	for i := range 4 {
		before := rest
		tag, _, rest, ok = derNext(rest)
		if !ok || tag != derSequence {
			return "", "", false
		}
		if i%2 == 1 {
			if names[i/2], ok = DNText(before[:len(before)-len(rest)]); !ok {
				return "", "", false
			}
		}
	}
	return names[0], names[1], true
}

// signatureAlgorithms are the object identifiers of RFC 7427 appendix A and
// RFC 8420.
var signatureAlgorithms = map[string]string{
	"1.2.840.113549.1.1.5": "sha1WithRSAEncryption", "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
	"1.2.840.113549.1.1.12": "sha384WithRSAEncryption", "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
	"1.2.840.10040.4.3": "dsa-with-sha1", "2.16.840.1.101.3.4.3.2": "dsa-with-sha256",
	"1.2.840.10045.4.1": "ecdsa-with-sha1", "1.2.840.10045.4.3.2": "ecdsa-with-sha256",
	"1.2.840.10045.4.3.3": "ecdsa-with-sha384", "1.2.840.10045.4.3.4": "ecdsa-with-sha512",
	"1.2.840.113549.1.1.10": "RSASSA-PSS", "1.3.101.112": "Ed25519", "1.3.101.113": "Ed448",
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44", "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
	"2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}

// SignatureAlgorithmName names a DER AlgorithmIdentifier of an AUTH payload,
// "ecdsa-with-sha256"; its object identifier where that is not known, and its
// hexadecimal digits where it is malformed.
func SignatureAlgorithmName(alg []byte) string {
	if tag, contents, rest, ok := derNext(alg); ok && tag == derSequence && len(rest) == 0 {
		if tag, oid, params, ok := derNext(contents); ok && tag == derOID {
			dotted := oidText(oid)
			if n := signatureAlgorithms[dotted]; n != "" {
				return n + pssHash(params)
			}
			if dotted != "" {
				return dotted
			}
		}
	}
	return hex.EncodeToString(alg)
}

// pssHashes are the hashes that RSASSA-PSS parameters name.
var pssHashes = map[string]string{
	"1.3.14.3.2.26": "SHA1", "2.16.840.1.101.3.4.2.1": "SHA2-256", "2.16.840.1.101.3.4.2.2": "SHA2-384",
	"2.16.840.1.101.3.4.2.3": "SHA2-512",
}

// pssHash gives " with SHA2-256" for the parameters of RSASSA-PSS (RFC 8017
// A.2.3), "" for other parameters.
func pssHash(params []byte) string {
	const hashAlgorithm = 0xa0
	b := params
	for _, want := range []byte{derSequence, hashAlgorithm, derSequence, derOID} {
		tag, contents, _, ok := derNext(b)
		if !ok || tag != want {
			return ""
		}
		b = contents
	}
	if n := pssHashes[oidText(b)]; n != "" {
		return " with " + n
	}
	return ""
}
