package filter

import (
	"fmt"
	"strings"
)

// maxDepth bounds parentheses and negations within one another.
const maxDepth = 100

// The kinds of token.
const (
	end     = iota
	opening // (
	closing // )
	and     // and, &&
	or      // or, ||
	not     // not, !
	word
)

type parser struct {
	text  string
	at    int // octet behind the token
	start int // octet of the token
	kind  int
	word  string // the token as written
	err   error
}

// next reads the next token. After an error there is only the end.
func (p *parser) next() {
	if p.err != nil {
		p.kind, p.word = end, ""
		return
	}
	for p.at < len(p.text) && strings.IndexByte(" \t\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.start = p.at
	rest := p.text[p.at:]
	switch {
	case rest == "":
		p.kind, p.word = end, "the end"
		return
	case rest[0] == '(':
		p.token(opening, 1)
	case rest[0] == ')':
		p.token(closing, 1)
	case rest[0] == '!':
		p.token(not, 1)
	case strings.HasPrefix(rest, "&&"):
		p.token(and, 2)
	case strings.HasPrefix(rest, "||"):
		p.token(or, 2)
	default:
		n := strings.IndexAny(rest, " \t\n()!&|")
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			p.fail("a single %q means nothing; write it twice", rest[:1])
			return
		}
		p.token(word, n)
		switch strings.ToLower(p.word) {
		case "and":
			p.kind = and
		case "or":
			p.kind = or
		case "not":
			p.kind = not
		}
	}
}

func (p *parser) token(kind, n int) {
	p.kind, p.word = kind, p.text[p.at:p.at+n]
	p.at += n
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &SyntaxError{p.start + 1, fmt.Sprintf(format, args...)}
	}
	p.kind = end
}

func (p *parser) expression(depth int) predicate {
	m := p.all(depth)
	for p.kind == or {
		p.next()
		left, right := m, p.all(depth)
		m = func(x *facts) bool { return left(x) || right(x) }
	}
	return m
}

func (p *parser) all(depth int) predicate {
	m := p.one(depth)
	for p.kind == and || p.kind == opening || p.kind == not || p.kind == word {
		if p.kind == and {
			p.next()
		}
		left, right := m, p.one(depth)
		m = func(x *facts) bool { return left(x) && right(x) }
	}
	return m
}

func (p *parser) one(depth int) predicate {
	if depth > maxDepth {
		p.fail("more than %d levels within one another", maxDepth)
	}
	switch p.kind {
	case not:
		p.next()
		m := p.one(depth + 1)
		return func(x *facts) bool { return !m(x) }
	case opening:
		p.next()
		m := p.expression(depth + 1)
		if p.kind != closing {
			p.fail("expected \")\", got %q", p.word)
		}
		p.next()
		return m
	case word:
		return p.term()
	}
	p.fail("expected a term such as peer=192.0.2.1, got %q", p.word)
	return func(*facts) bool { return false }
}
