// Package doc is the JSON documents of cvlanctl: what stands in them, under
// which names. The schemas in docs/schema describe the same documents, and a
// test holds the two together.
//
// Contract: a field that the source cannot know is absent, never zero. Times
// are RFC 3339 with nanoseconds in UTC, durations seconds, SPIs lower-case
// hex of fixed width. Package doc reads tables and opens nothing.
package doc

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// Version is what `cvlanctl version` prints.
type Version struct {
	Schema     string `json:"schema"`
	Version    string `json:"version"`
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	FIPS       bool   `json:"fips"`
	Commit     string `json:"commit,omitempty"`
	CommitTime string `json:"commit_time,omitempty"`
	Modified   bool   `json:"modified,omitempty"`
}

// The kinds of document.
const (
	VersionSchema   = "cvlanctl/version/v1"
	DecodeSchema    = "cvlanctl/decode/v1"
	ExchangesSchema = "cvlanctl/exchanges/v1"
	SAsSchema       = "cvlanctl/sas/v1"
)

// Field is one field of a large document: a value, or a list whose items are
// made one after the other.
type Field struct {
	Name  string
	Value any
	Len   int
	Item  func(i int) any // nil for a value
}

// list makes the field of a list.
func list[T, D any](name string, from []T, item func(T) D) Field {
	return Field{Name: name, Len: len(from), Item: func(i int) any { return item(from[i]) }}
}

// stamp gives a time as RFC 3339 with nanoseconds, UTC; "" where it is not
// known. Texts and json.Number are what encoding/json writes fastest: a large
// capture has hundreds of thousands of them.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(event.TimeLayout)
}

// decimal gives a duration exactly, in seconds, without an exponent.
func decimal(d time.Duration) json.Number {
	b := make([]byte, 0, 24)
	n := int64(d)
	if n < 0 {
		b = append(b, '-')
		n = -n
	}
	const second = int64(time.Second)
	b = strconv.AppendInt(b, n/second, 10)
	if fraction := n % second; fraction != 0 {
		digits := strconv.AppendInt(nil, second+fraction, 10)
		digits[0] = '.' // the leading 1 kept the zeros behind it
		b = append(b, bytes.TrimRight(digits, "0")...)
	}
	return json.Number(b)
}

// seconds carries an optional duration over, "" where it is not known.
func seconds(d engine.Opt[time.Duration]) json.Number {
	v, ok := d.Get()
	if !ok {
		return ""
	}
	return decimal(v)
}

// since gives the time from then to now, "" where one of them is not known or
// then is later.
func since(then, now time.Time) json.Number {
	if then.IsZero() || now.IsZero() || now.Before(then) {
		return ""
	}
	return decimal(now.Sub(then))
}

// known gives what an optional value points to, nil where it is not known.
func known[T any](o engine.Opt[T]) *T {
	v, ok := o.Get()
	if !ok {
		return nil
	}
	return &v
}
