package suite

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// octets is a JSON string of hexadecimal digits.
type octets []byte

func (o *octets) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	d, err := hex.DecodeString(s)
	*o = d
	return err
}

// secret makes a Secret of test octets.
func secret(b []byte) Secret { return NewSecret(b) }

// readVectors reads a file of known answers into v.
func readVectors(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// wycheproof is one test of any Wycheproof file.
type wycheproof struct {
	ID      int    `json:"tcId"`
	Comment string `json:"comment"`
	Result  string `json:"result"` // valid, invalid, acceptable

	Key, IV, AAD, Msg, CT, Tag octets
	Public, Private, Shared    octets
	Seed, EK, C, K             octets
}

func readWycheproof(t *testing.T, name string) []wycheproof {
	t.Helper()
	f, err := os.Open("testdata/wycheproof.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read from
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Files map[string][]wycheproof }
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	if len(all.Files[name]) == 0 {
		t.Fatalf("no tests of %s", name)
	}
	return all.Files[name]
}

// counting gives n octets that differ.
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	return b
}
