package wire

import "testing"

func benchmarkDecode(b *testing.B, message []byte) {
	b.Helper()
	m := new(Message)
	if err := m.Decode(message); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decode(message); err != nil {
			b.Fatal(err)
		}
	}
}

func vectorNamed(t testing.TB, name string) []byte {
	t.Helper()
	for _, v := range allVectors(t) {
		if v.Name == name {
			return v.b
		}
	}
	t.Fatalf("no vector is named %s", name)
	return nil
}

func BenchmarkDecodeSAInit(b *testing.B) {
	benchmarkDecode(b, vectorNamed(b, "P1sec/test_crypto.py"))
}

func BenchmarkDecodeEncrypted(b *testing.B) {
	benchmarkDecode(b, vectorNamed(b, "P1sec/test_crypto.py#2"))
}

func BenchmarkParseSAInit(b *testing.B) {
	message := vectorNamed(b, "P1sec/test_crypto.py")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendSAInit(b *testing.B) {
	m, err := Parse(vectorNamed(b, "P1sec/test_crypto.py"))
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
	}
}

func BenchmarkLooksLikeIKE(b *testing.B) {
	message := vectorNamed(b, "P1sec/test_crypto.py")
	b.ReportAllocs()
	for b.Loop() {
		if !LooksLikeIKE(message) {
			b.Fatal("refused")
		}
	}
}

func TestDecodingIntoAUsedMessageAllocatesNothing(t *testing.T) {
	for _, name := range []string{"P1sec/test_crypto.py#2", "rusticata/ike-sa-init-req.bin", "P1sec/test_crypto.py#4"} {
		b := vectorNamed(t, name)
		m := new(Message)
		if err := m.Decode(b); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if m.Decode(b) != nil {
				t.Error("refused")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	mixed := [][]byte{vectorNamed(t, "P1sec/test_crypto.py#2"), vectorNamed(t, "P1sec/test_crypto.py#4")}
	m := new(Message)
	if n := testing.AllocsPerRun(100, func() {
		for _, b := range mixed {
			if m.Decode(b) != nil {
				t.Error("refused")
			}
		}
	}); n != 0 {
		t.Errorf("encrypted and clear messages in turn: %v allocations", n)
	}
}
