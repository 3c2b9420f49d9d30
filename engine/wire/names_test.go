package wire

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// tsharkValues runs tshark once for all tests: it takes seconds.
var tsharkValues = func() func(path string) ([]byte, error) {
	var out []byte
	return func(path string) ([]byte, error) {
		var err error
		if out == nil {
			out, err = exec.Command(path, "-G", "values").Output()
		}
		return out, err
	}
}()

// tsharkTables gives Wireshark's names by field; a field that IKEv1 and IKEv2
// share has two tables, told apart by the numbers starting over.
func tsharkTables(t *testing.T) map[string][]map[int]string {
	t.Helper()
	path := need.Program(t, "tshark")
	out, err := tsharkValues(path)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]map[int]string{}
	lastNumber := map[string]int{}
	for line := range strings.Lines(string(out)) {
		c := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(c) < 4 || !strings.HasPrefix(c[1], "isakmp.") {
			continue
		}
		low, err1 := strconv.Atoi(c[2])
		high, name := low, c[3]
		if c[0] == "R" && len(c) > 4 {
			high, _ = strconv.Atoi(c[3])
			name = c[4]
		}
		if err1 != nil {
			continue
		}
		f := strings.TrimPrefix(c[1], "isakmp.")
		if n := len(tables[f]); n == 0 || low < lastNumber[f] {
			tables[f] = append(tables[f], map[int]string{})
		}
		lastNumber[f] = low
		if low == high { // a range is no name
			ts := tables[f]
			ts[len(ts)-1][low] = name
		}
	}
	return tables
}

// plain drops what spellings differ in: case, separators and the prefixes that
// TransformName leaves out.
func plain(s string) string {
	s = strings.ToUpper(s)
	for _, p := range []string{"ENCR", "AUTH_", "ID_", "ISAKMP_", "IPCOMP_", "IKEV2_"} {
		s = strings.TrimPrefix(s, p)
	}
	return strings.NewReplacer("-", "", "_", "", " ", "", ".", "", "*", "", "(RFC3947)", "").Replace(s)
}

func TestNamesAgreeWithWiresharksOrTheReasonIsKnown(t *testing.T) {
	tables := tsharkTables(t)
	key := func(f func(int) string) func(int) string { return f }
	v1attr := func(p V1ProtocolID, attr uint16) func(int) string {
		return func(i int) string { return V1AttributeValueName(p, attr, uint16(i)) }
	}
	transform := func(typ TransformType) func(int) string {
		return func(i int) string { return TransformName(typ, uint16(i)) }
	}
	for _, c := range []struct {
		field   string
		table   int // of the field's tables
		ours    func(int) string
		differs map[int]string // number: why our name is another
	}{
		{"exchangetype", 0, key(func(i int) string { return ExchangeType(i).String() }), nil},
		{"notify.msgtype", 0, key(func(i int) string { return V1NotifyType(i).String() }), map[int]string{
			0: "no type"}},
		{"notify.msgtype", 1, key(func(i int) string { return NotifyType(i).String() }), map[int]string{
			46:    "tshark repeats the name of 44; IANA has AUTHORIZATION_FAILED",
			16429: "RFC 9838 renamed SENDER_REQUEST_ID to GROUP_SENDER"}},
		{"id.type", 0, key(func(i int) string { return V1IDType(i).String() }), map[int]string{
			12: "tshark says KEY_LIST, RFC 3554 says ID_LIST"}},
		{"id.type", 1, key(func(i int) string { return IDType(i).String() }), map[int]string{
			12: "ID_LIST is IKEv1's; IKEv2 has ID_FC_NAME (RFC 4595)"}},
		{"cert.encoding", 0, key(func(i int) string { return CertEncoding(i).String() }), map[int]string{
			6: "IANA has the singular, Kerberos Token"}},
		{"cert.encoding", 1, key(func(i int) string { return CertEncoding(i).String() }), map[int]string{
			5: "undefined in IKEv2, named for IKEv1", 6: "IANA has the singular, Kerberos Token"}},
		{"auth.method", 0, key(func(i int) string { return AuthMethod(i).String() }), nil},
		{"ts.type", 0, key(func(i int) string { return TSType(i).String() }), nil},
		{"cfg.type", 0, key(func(i int) string { return ConfigType(i).String() }), nil},
		{"cfg.type", 1, key(func(i int) string { return ConfigType(i).String() }), nil},
		{"cfg.attr.type", 0, key(func(i int) string { return ConfigAttributeType(i).String() }), map[int]string{
			16400: "tshark does not know it either", 16401: "tshark does not know it either",
			16402: "tshark does not know it either", 16525: "tshark misspells CHALLENGE"}},
		{"cfg.attr.type", 1, key(func(i int) string { return ConfigAttributeType(i).String() }), map[int]string{
			9: "reserved in IKEv2, named for IKEv1"}},
		{"tf.id.encr", 0, transform(TransformEncr), map[int]string{
			18: "tshark describes the algorithm", 19: "tshark describes the algorithm", 20: "tshark describes the algorithm",
			22: "tshark describes the algorithm", 25: "tshark describes the algorithm", 26: "tshark describes the algorithm",
			27: "tshark describes the algorithm", 17: "tshark names what is unassigned"}},
		{"tf.id.prf", 0, transform(TransformPRF), map[int]string{
			4: "IANA has AES128_XCBC", 8: "tshark has a typing error at the end"}},
		{"tf.id.integ", 0, transform(TransformInteg), nil},
		{"ike.attr.type", 0, key(func(i int) string { return V1AttributeName(V1ProtocolISAKMP, uint16(i)) }), nil},
		{"ipsec.attr.type", 0, key(func(i int) string { return V1AttributeName(V1ProtocolESP, uint16(i)) }), nil},
		{"ike.attr.encryption_algorithm", 0, v1attr(V1ProtocolISAKMP, V1AttrEncryption), nil},
		{"ike.attr.hash_algorithm", 0, v1attr(V1ProtocolISAKMP, V1AttrHash), nil},
		{"ike.attr.authentication_method", 0, v1attr(V1ProtocolISAKMP, V1AttrAuth), map[int]string{
			6: "tshark says what it was", 7: "tshark says what it was", 8: "tshark says what it was"}},
		{"ike.attr.group_type", 0, v1attr(V1ProtocolISAKMP, V1AttrGroupType), nil},
		{"ike.attr.life_type", 0, v1attr(V1ProtocolISAKMP, V1AttrLifeType), nil},
		{"ipsec.attr.life_type", 0, v1attr(V1ProtocolESP, V1AttrSALifeType), nil},
		{"ipsec.attr.encap_mode", 0, v1attr(V1ProtocolESP, V1AttrEncapsulation), nil},
		{"ipsec.attr.auth_algorithm", 0, v1attr(V1ProtocolESP, V1AttrSAAuth), nil},
		{"notify.data.ipcomp.transform_id", 0, key(func(i int) string { return IPCompTransform(i).String() }), nil},
		{"prop.protoid", 0, key(func(i int) string { return V1ProtocolID(i).String() }), map[int]string{
			2: "tshark says IPSEC_AH", 3: "tshark says IPSEC_ESP"}},
		{"prop.protoid", 1, key(func(i int) string { return ProtocolID(i).String() }), nil},
		{"sa.doi", 0, key(func(i int) string { return V1DOI(i).String() }), nil},
	} {
		if len(tables[c.field]) <= c.table {
			t.Errorf("tshark has no table %d for %s", c.table, c.field)
			continue
		}
		for i, theirs := range tables[c.field][c.table] {
			up := strings.ToUpper(theirs)
			if strings.HasPrefix(up, "RESERVED") && c.differs[i] == "" && !strings.Contains(up, "WAS") &&
				!strings.Contains(up, "XTS") || strings.HasPrefix(up, "UNDEFINED") || up == "UNASSIGNED" && c.differs[i] == "" {
				continue
			}
			ours := c.ours(i)
			same := plain(ours) == plain(theirs)
			switch reason := c.differs[i]; {
			case !same && reason == "":
				t.Errorf("%s (table %d) %d: tshark has %q, we have %q", c.field, c.table, i, theirs, ours)
			case same && reason != "":
				t.Errorf("%s (table %d) %d: no difference any more: %q", c.field, c.table, i, theirs)
			}
		}
	}
}

func TestEveryGroupThatWiresharkNamesHasAName(t *testing.T) {
	tables := tsharkTables(t)
	for i, theirs := range tables["key_exchange.dh_group"][0] {
		if i == 0 {
			continue
		}
		if ours := V1GroupName(uint16(i)); strings.HasPrefix(ours, "UNKNOWN") {
			t.Errorf("group %d has no name, tshark says %q", i, theirs)
		}
		ec2n := i == 3 || i == 4 || i >= 6 && i <= 13 // not in IKEv2's registry
		if ours := KEMethod(i).String(); strings.HasPrefix(ours, "UNKNOWN") != ec2n {
			t.Errorf("group %d is %s for IKEv2, tshark says %q", i, ours, theirs)
		}
	}
}

func TestNumbersWithoutANameSayTheirNumberAndRange(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{NotifyType(2000).String(), "UNKNOWN_2000"},
		{NotifyType(8192).String(), "PRIVATE_USE_8192"},
		{NotifyType(16383).String(), "PRIVATE_USE_16383"},
		{NotifyType(16448).String(), "UNKNOWN_16448"},
		{NotifyType(40960).String(), "PRIVATE_USE_40960"},
		{NotifyType(65535).String(), "PRIVATE_USE_65535"},
		{NotifyMicrosoftStatus.PrivateMeaning(), "MS_STATUS (Microsoft)"},
		{NotifyCookie.PrivateMeaning(), ""},
		{PayloadType(55).String(), "UNKNOWN_55"},
		{PayloadType(128).String(), "PRIVATE_USE_128"},
		{ExchangeType(45).String(), "UNKNOWN_45"},
		{ExchangeType(240).String(), "PRIVATE_USE_240"},
		{TransformName(TransformEncr, 17), "UNKNOWN_17"},
		{TransformName(TransformEncr, 1024), "PRIVATE_USE_1024"},
		{TransformName(TransformADDKE3, KEMLKEM1024), "ML_KEM_1024"},
		{TransformName(99, 3), "UNKNOWN_3"},
		{TransformType(99).String(), "UNKNOWN_99"},
		{V1DOI(1 << 20).String(), "UNKNOWN_1048576"},
		{V1TransformName(V1ProtocolESP, 12), "ESP_AES-CBC"},
		{V1TransformName(V1ProtocolISAKMP, 1), "KEY_IKE"},
		{V1NotifyType(9000).String(), "PRIVATE_USE_9000"},
		{AttributeName(14), "KEY_LENGTH"},
		{AttributeName(15), "UNKNOWN_15"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestEveryNotifyFromTheRegistryStandsUnderItsNumber(t *testing.T) {
	// The ends of the runs without gaps pin the whole list.
	for typ, want := range map[NotifyType]string{
		16384: "INITIAL_CONTACT", 16390: "COOKIE", 16396: "MOBIKE_SUPPORTED", 16409: "TICKET_LT_OPAQUE",
		16420: "IKEV2_MESSAGE_ID_SYNC_SUPPORTED", 16430: "IKEV2_FRAGMENTATION_SUPPORTED",
		16431: "SIGNATURE_HASH_ALGORITHMS", 16435: "USE_PPK", 16438: "INTERMEDIATE_EXCHANGE_SUPPORTED",
		16441: "ADDITIONAL_KEY_EXCHANGE", 16443: "SUPPORTED_AUTH_METHODS", 16444: "SA_RESOURCE_INFO",
		16445: "USE_PPK_INT", 16446: "PPK_IDENTITY_KEY",
	} {
		if typ.String() != want {
			t.Errorf("%d is %s, want %s", uint16(typ), typ, want)
		}
	}
	if i := slices.Index(notifyStatusNames, ""); i >= 0 {
		t.Errorf("status %d has no name", firstStatus+i)
	}
}
