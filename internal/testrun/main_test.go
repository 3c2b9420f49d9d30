package main

import (
	"bytes"
	"strings"
	"testing"
)

// says wants a report of these actions to have each of the lines.
func says(t *testing.T, actions string, lines ...string) {
	t.Helper()
	var out bytes.Buffer
	r := report{out: &out, lines: map[string][]string{}}
	if err := r.read(strings.NewReader(actions)); err != nil {
		t.Fatal(err)
	}
	r.summary()
	for _, want := range lines {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
}

func TestSkippedTestsAreNamedWithTheirReason(t *testing.T) {
	says(t, `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: needs root\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    a_test.go:9: got 1\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p","Elapsed":0.5}
not json
`,
		"1 tests passed, 1 failed, 1 skipped",
		"skipped: p TestA: a_test.go:3: needs root",
		"failed:  p TestC",
		"a_test.go:9: got 1",
		"FAIL  p (0.5s)",
		"not json")
}

func TestTestsWithoutAVerdictFailWithTheirPackage(t *testing.T) {
	says(t, `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out after 30m0s\n"}
{"Action":"output","Package":"pq","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t1800.1s\n"}
{"Action":"fail","Package":"p","Elapsed":1800.1}
{"Action":"pass","Package":"pq","Test":"TestB"}
{"Action":"pass","Package":"pq","Elapsed":0.5}
`,
		"1 tests passed, 1 failed, 0 skipped",
		"failed:  p TestA (did not end)",
		"panic: test timed out after 30m0s",
		"FAIL  p (1800.1s)")
}
