// Package typo finds the word that a mistyped one was meant to be, among those
// that there are: commands, flags, identifiers.
package typo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Most proposals are made, of words that are near alike.
const most = 3

// Near gives at most three words that word may have been meant for, the nearest
// first: those that it is a part of, and those with one letter in three wrong at
// the most. Upper and lower case are the same.
func Near(word string, among []string) []string {
	word = strings.ToLower(word)
	if word == "" {
		return nil
	}
	type candidate struct {
		word  string
		wrong int
	}
	var found []candidate
	for _, w := range among {
		low := strings.ToLower(w)
		wrong := distance(word, low)
		switch {
		case len(word) > 2 && strings.HasPrefix(low, word):
			wrong = 0
		case len(word) > 2 && strings.Contains(low, word):
			wrong = 1
		case wrong > max(1, len(word)/3):
			continue
		}
		found = append(found, candidate{w, wrong})
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.wrong, b.wrong) })
	var words []string
	for _, c := range found[:min(len(found), most)] {
		words = append(words, c.word)
	}
	return words
}

// Question asks for the words that Near gives: "; did you mean a or b?", and ""
// where none is near.
func Question(word string, among []string) string {
	words := Near(word, among)
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; did you mean %s?", words[0])
	default:
		return fmt.Sprintf("; did you mean %s or %s?", strings.Join(words[:n-1], ", "), words[n-1])
	}
}

// distance counts the octets to insert, leave out, replace or exchange with their
// neighbour that make b of a: Damerau's and Levenshtein's distance, in which no
// octet is changed twice.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
