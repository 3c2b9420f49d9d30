// Package section replaces one section of a Markdown page and leaves the
// others as they are, so that several programs can each write what they
// measured to one page.
package section

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Write puts a section under a heading of the second level into a page: in
// place of the one that has the heading, else at the end. A page that is not
// there begins with a title.
func Write(path, title, heading, body string) error {
	page, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		page, err = []byte("# "+title+"\n"), nil
	}
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := os.WriteFile(path, []byte(Replace(string(page), heading, body)), 0o644); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// Replace gives a page with the section under a heading replaced, or added at
// its end.
func Replace(page, heading, body string) string {
	head := "## " + heading + "\n"
	text := head + "\n" + strings.TrimSpace(body) + "\n"
	start := strings.Index("\n"+page, "\n"+head)
	if start < 0 {
		return strings.TrimRight(page, "\n") + "\n\n" + text
	}
	rest := page[start+len(head):]
	next := strings.Index("\n"+rest, "\n## ")
	if next < 0 {
		return page[:start] + text
	}
	return page[:start] + text + "\n" + rest[next:]
}
