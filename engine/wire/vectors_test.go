package wire

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A vector is a published octet string: a message, a chain of payloads or the
// body of a payload.
type vector struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Hex    string `json:"hex"`
	b      []byte
}

// readVectors reads testdata/<file>, which must hold at least one vector.
func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(raw, &vs); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(vs) == 0 {
		t.Fatalf("%s holds no vectors", file)
	}
	for i := range vs {
		vs[i].b, err = hex.DecodeString(vs[i].Hex)
		if err != nil {
			t.Fatalf("%s: %s: %v", file, vs[i].Name, err)
		}
	}
	return vs
}

// allVectors gives every vector of the three files.
func allVectors(t testing.TB) []vector {
	t.Helper()
	var vs []vector
	for _, f := range []string{"messages.json", "malformed_messages.json", "openiked_payloads.json"} {
		vs = append(vs, readVectors(t, f)...)
	}
	return vs
}

// chainText writes the payload types of a chain, "SA KE Nonce".
func chainText(ps []Payload) string {
	var names []string
	for _, p := range ps {
		names = append(names, p.Type.String())
	}
	return strings.Join(names, " ")
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
