package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNoWayOfPrintingASecretShowsItsOctets(t *testing.T) {
	// Neither the characters nor their hexadecimal or decimal form may appear.
	s := NewSecret([]byte("hush-hush-hush"))
	leaks := []string{"hush", "687573", "104 117", "0x68", "aHVzaC"}
	type outer struct {
		hidden Secret
		list   []Secret
		Shown  Secret
		Any    any
		P      *Secret
	}
	o := outer{s, []Secret{s}, s, s, &s}

	var text, structured bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "k", s, "o", o)
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("x", "k", s, "o", o)
	asJSON, err := json.Marshal(map[string]any{"s": s, "o": o})
	if err != nil {
		t.Fatal(err)
	}
	marshalled, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]string{
		"slog text": text.String(), "slog json": structured.String(), "json": string(asJSON),
		"text": string(marshalled), "String": s.String(), "GoString": s.GoString(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x", "%o", "%T", "%p"} {
		printed[verb] = fmt.Sprintf(verb, s)
		printed[verb+" pointer"] = fmt.Sprintf(verb, &s)
		printed[verb+" in a struct"] = fmt.Sprintf(verb, o)
		printed[verb+" in a pointer"] = fmt.Sprintf(verb, &o)
		printed[verb+" in a slice"] = fmt.Sprintf(verb, []Secret{s})
		printed[verb+" in a map"] = fmt.Sprintf(verb, map[string]Secret{"k": s})
	}
	for how, out := range printed {
		for _, leak := range leaks {
			if strings.Contains(out, leak) {
				t.Errorf("%s shows %q: %s", how, leak, out)
			}
		}
	}
	for _, how := range []string{"%v", "%#v", "%x", "String", "text"} {
		if printed[how] != "[14 octets]" {
			t.Errorf("%s gives %q", how, printed[how])
		}
	}
	if !strings.Contains(string(asJSON), `"s":"[14 octets]"`) {
		t.Errorf("json gives %s", asJSON)
	}
}

func TestRevealGivesACopyAndWipeReachesEveryCopy(t *testing.T) {
	from := []byte{1, 2, 3}
	s := NewSecret(from)
	from[0] = 9
	shared := s
	out := s.Reveal()
	if !bytes.Equal(out, []byte{1, 2, 3}) {
		t.Fatalf("revealed %x", out)
	}
	out[1] = 9
	if !bytes.Equal(s.Reveal(), []byte{1, 2, 3}) {
		t.Fatal("changing what was revealed changed the secret")
	}
	s.Wipe()
	if !bytes.Equal(shared.Reveal(), make([]byte, 3)) || shared.Len() != 3 {
		t.Fatalf("after Wipe a copy holds %x", shared.Reveal())
	}
}

func TestEmptySecretIsTheZeroValue(t *testing.T) {
	var zero Secret
	zero.Wipe()
	if zero.Len() != 0 || len(zero.Reveal()) != 0 || zero.String() != "[0 octets]" {
		t.Fatalf("%v", zero)
	}
	if !zero.Equal(NewSecret([]byte{})) || zero.Equal(NewSecret([]byte{0})) {
		t.Fatal("an empty secret does not equal the zero value")
	}
}

func TestEqualComparesOctets(t *testing.T) {
	a, b := NewSecret([]byte{1, 2}), NewSecret([]byte{1, 2})
	if !a.Equal(b) || a.Equal(NewSecret([]byte{1, 3})) || a.Equal(NewSecret([]byte{1})) {
		t.Fatal("Equal is wrong")
	}
}
