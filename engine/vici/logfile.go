package vici

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

// logLine is a line of charon's file log: a time if there is one, thread,
// group, the IKE SA that it is about, text.
var logLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:(.{1,40}?) )?(\d+)\[([A-Z0-9]{3})\](?: <(?:([^>|]*)\|)?(\d+)>)? ?(.*)$`)
})

// logTimes are the forms of time that are read: seconds, RFC 3339, and
// syslog's, which has no year and means the one before now.
var logTimes = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.Stamp}

// ParseLogLine reads one line of charon's file log. The time is zero where the
// line has none that can be read.
func ParseLogLine(line string) (time.Time, *event.Log, bool) {
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	m := logLine().FindStringSubmatch(line)
	if m == nil {
		return time.Time{}, nil, false
	}
	l := &event.Log{Group: m[3], Level: -2, Thread: atoi(m[2]), IKE: m[4], IKEID: atou(m[5]), Text: m[6]}
	Recognise(l)
	return logTime(m[1]), l, true
}

func logTime(s string) time.Time {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0)
	}
	for _, layout := range logTimes {
		t, err := time.ParseInLocation(layout, s, time.Local)
		if err != nil {
			continue
		}
		if t.Year() == 0 {
			now := time.Now()
			t = t.AddDate(now.Year(), 0, 0)
			if t.After(now.Add(24 * time.Hour)) {
				t = t.AddDate(-1, 0, 0)
			}
		}
		return t
	}
	return time.Time{}
}

// ReadLog calls each for every line of a charon's file log. Lines that are not
// charon's, and those of octets in hexadecimal, are left out.
func ReadLog(r io.Reader, each func(*event.Event)) error {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := b.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		if t, l, ok := ParseLogLine(string(line)); ok {
			each(&event.Event{Time: t, Log: l})
		}
		for long { // the rest of a line that is too long
			_, err = b.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("log of charon: %w", err)
		}
	}
}
