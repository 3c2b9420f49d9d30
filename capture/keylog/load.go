package keylog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What a table may be at most.
const (
	maxFile   = 64 << 20 // octets
	maxLine   = 64 << 10 // octets
	maxRows   = 1 << 18
	maxErrors = 20
	maxKey    = 256 // octets
)

// LineError is about one line of a table. It never contains a key.
type LineError struct {
	File string
	Line int // from 1
	Err  error
}

// Error says "file:line: reason".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap gives the reason.
func (e *LineError) Unwrap() error { return e.Err }

var errTooMany = errors.New("too many errors, the rest of the file was not read")

// Load reads key tables. Each path is a folder, of which the tables that are
// there are read, or a file: its name says which table it is where it contains
// a table's name, else its first row does.
//
// The error joins one *LineError for each line that could not be read, up to
// 20 a file; the Tables hold the rows that could.
func Load(paths []string) (*Tables, error) {
	t := &Tables{}
	var errs []error
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("key tables: %w", err))
		case info.IsDir():
			errs = append(errs, t.loadFolder(path)...)
		default:
			errs = append(errs, t.loadFile(path)...)
		}
	}
	return t, errors.Join(errs...)
}

func (t *Tables) loadFolder(path string) (errs []error) {
	found := false
	for _, name := range []string{TableIKEv2, TableIKEv1, TableESP} {
		file := filepath.Join(path, name)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		errs = append(errs, t.loadFile(file)...)
	}
	if !found {
		errs = append(errs, fmt.Errorf("key tables: folder %s has none of %s, %s, %s", path, TableIKEv2, TableIKEv1, TableESP))
	}
	return errs
}

func (t *Tables) loadFile(path string) []error {
	f, err := os.Open(path)
	if err != nil {
		return []error{fmt.Errorf("key tables: %w", err)}
	}
	defer func() { _ = f.Close() }() // only read from
	return t.read(f, path)
}

// table tells a table from the name of its file, "" where it does not.
func table(path string) string {
	base := filepath.Base(path)
	for _, name := range []string{TableIKEv2, TableIKEv1, TableESP} {
		if strings.Contains(base, name) {
			return name
		}
	}
	return ""
}

// read reads one table.
func (t *Tables) read(r io.Reader, path string) (errs []error) {
	kind := table(path)
	limited := &io.LimitedReader{R: r, N: maxFile}
	in := bufio.NewReaderSize(limited, maxLine)
	for line := 1; ; line++ {
		text, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = fmt.Errorf("line is longer than %d octets", maxLine)
			}
			return append(errs, &LineError{path, line, err})
		}
		if limited.N <= 0 {
			return append(errs, &LineError{path, line, fmt.Errorf("file is larger than %d octets", maxFile)})
		}
		if rowErr := t.line(text, &kind); rowErr != nil {
			errs = append(errs, &LineError{path, line, rowErr})
			if len(errs) == maxErrors {
				return append(errs, &LineError{path, line, errTooMany})
			}
		}
		if err != nil {
			return errs
		}
	}
}

// line reads one line; kind is settled by the first row where it is not known.
func (t *Tables) line(text []byte, kind *string) error {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	if len(text) == 0 || text[0] == '#' {
		return nil
	}
	row, err := split(text)
	if err != nil {
		return err
	}
	if *kind == "" {
		switch {
		case len(row) == 2:
			*kind = TableIKEv1
		case strings.HasPrefix(strings.ToUpper(row[0]), "IPV"):
			*kind = TableESP
		case len(row) >= 8:
			*kind = TableIKEv2
		default:
			return fmt.Errorf("%d fields: a row of no table known here", len(row))
		}
	}
	if a, b, c := t.Len(); a+b+c >= maxRows {
		return fmt.Errorf("more than %d rows", maxRows)
	}
	switch *kind {
	case TableIKEv1:
		return t.rowIKEv1(row)
	case TableESP:
		return t.rowESP(row)
	}
	return t.rowIKEv2(row)
}

// split cuts a row into its fields: bare, or in double quotes, where \" and \\
// stand for themselves and \xHH for an octet. A comment may follow.
func split(b []byte) ([]string, error) {
	var row []string
	for {
		b = bytes.TrimLeft(b, " \t")
		var field []byte
		if len(b) > 0 && b[0] == '"' {
			var err error
			if field, b, err = quoted(b[1:]); err != nil {
				return nil, fmt.Errorf("field %d: %w", len(row)+1, err)
			}
			b = bytes.TrimLeft(b, " \t")
			if len(b) > 0 && b[0] != ',' && b[0] != '#' {
				return nil, fmt.Errorf("field %d: text behind the closing quote", len(row)+1)
			}
		} else {
			end := bytes.IndexAny(b, ",#")
			if end < 0 {
				end = len(b)
			}
			field, b = bytes.TrimSpace(b[:end]), b[end:]
		}
		row = append(row, string(field))
		if len(b) == 0 || b[0] == '#' {
			return row, nil
		}
		if len(row) == 32 {
			return nil, errors.New("more than 32 fields")
		}
		b = b[1:]
	}
}

// quoted reads up to the closing quote.
func quoted(b []byte) (field, rest []byte, err error) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			return field, b[i+1:], nil
		case '\\':
			i++
			switch {
			case i < len(b) && (b[i] == '"' || b[i] == '\\'):
				field = append(field, b[i])
			case i+2 < len(b) && b[i] == 'x':
				octet, ok := hexOctet(b[i+1], b[i+2])
				if !ok {
					return nil, nil, errors.New(`\x without two hexadecimal digits`)
				}
				field = append(field, octet)
				i += 2
			default:
				return nil, nil, errors.New(`a backslash must be followed by ", another backslash, or x and two hexadecimal digits`)
			}
		default:
			field = append(field, b[i])
		}
	}
	return nil, nil, errors.New("no closing quote")
}
