package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a file.
const (
	MaxSize  = 1 << 20 // octets
	maxDepth = 16      // of maps and lists within one another
	maxNodes = 200_000 // values
	maxLines = 60_000
	maxEmpty = 100  // keys without a value
	maxBlock = 5000 // entries of one map or list, on lines of their own
	maxFlow  = 1000 // entries of one map or list in brackets
)

// blockText finds the head of a block scalar at the end of a line. A policy has
// no use for one, and the library takes a time for them that grows faster than
// their size.
var blockText = regexp.MustCompile(`(?m)(^|[ \t:-])[|>][-+0-9]{0,4}[ \t]*(#[^\n\r]*)?(\r|\n|$)`)

// kind is what a node of the file is.
type kind uint8

const (
	nullNode kind = iota
	textNode
	intNode
	floatNode
	boolNode
	mapNode
	listNode
	badNode // had a finding; its value is not to be used
)

// String names the kind in words of the user.
func (k kind) String() string {
	return [...]string{"nothing", "text", "an integer", "a number with a fraction", "true or false", "a map", "a list", "nonsense"}[k]
}

// node is one value of the file and where it stands.
type node struct {
	kind         kind
	text         string // of a scalar, unquoted
	inner        int    // columns from the node to the first character of text
	line, column int
	entries      []entry // of a map, in order
	items        []*node // of a list
}

// entry is one key of a map and its value.
type entry struct {
	key          string
	line, column int
	value        *node
}

// at gives a node for a finding at the key.
func (e *entry) at() *node { return &node{line: e.line, column: e.column} }

// get gives the value of a key, nil where there is none or its value is bad.
func (n *node) get(key string) *node {
	if v := n.any(key); v != nil && v.kind != badNode && v.kind != nullNode {
		return v
	}
	return nil
}

// any gives the value of a key even where it is bad.
func (n *node) any(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.entries {
		if n.entries[i].key == key {
			return n.entries[i].value
		}
	}
	return nil
}

// has says whether the key is there, be its value bad.
func (n *node) has(key string) bool { return n.any(key) != nil }

// char gives a node for a finding at the character of n's text.
func (n *node) char(offset int) *node {
	return &node{line: n.line, column: n.column + n.inner + offset}
}

// readFile reads a file of limited size.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	return readBounded(f, limit)
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("more than %d octets", limit)
	}
	return b, nil
}

// readYAML turns the octets of a file into nodes. It gives nil where there is
// an error in the report.
func readYAML(data []byte, r *report) (root *node) {
	// What the library makes of nonsense is not our contract.
	defer func() {
		if p := recover(); p != nil {
			r.add(Finding{Severity: Error, Code: "syntax", Message: "cannot be read as YAML"})
			root = nil
		}
	}()
	if len(data) > MaxSize {
		r.add(Finding{Severity: Error, Code: "too-large", Message: fmt.Sprintf("the file has more than %d octets", MaxSize)})
		return nil
	}
	if bad := firstInvalid(data); bad >= 0 {
		line := bytes.Count(data[:bad], []byte("\n")) + 1
		column := utf8.RuneCount(data[bytes.LastIndexByte(data[:bad], '\n')+1:bad]) + 1
		r.add(Finding{Line: line, Column: column, Severity: Error, Code: "syntax", Message: "a character that does not belong into text in UTF-8"})
		return nil
	}
	if at := blockText.FindIndex(data); at != nil {
		line := bytes.Count(data[:at[1]-1], []byte("\n")) + 1
		r.add(Finding{Line: line, Column: 1, Severity: Error, Code: "not-taken", Message: "text over several lines (| or >) is not taken in a policy"})
		return nil
	}
	if lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")); lines > maxLines {
		r.add(Finding{Severity: Error, Code: "too-large", Message: fmt.Sprintf("the file has more than %d lines", maxLines)})
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	if !bounded(tokens, r) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.add(syntaxFinding(err))
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			pos := doc.Body.GetToken().Position
			r.add(Finding{Line: pos.Line, Column: pos.Column, Severity: Error, Code: "syntax", Message: "a second document; a policy is one"})
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		r.add(Finding{Line: 1, Column: 1, Severity: Error, Code: "syntax", Message: "the file is empty"})
		return nil
	}
	c := converter{report: r}
	root = c.node(body, 0)
	if c.failed {
		return nil
	}
	return root
}

// firstInvalid gives the offset of the first octet that is no UTF-8 or is a
// control character other than tab and line ends, -1 for none.
func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		c, n := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && n == 1 || c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return i
		}
		i += n
	}
	return -1
}

func syntaxFinding(err error) Finding {
	f := Finding{Severity: Error, Code: "syntax", Message: "not YAML"}
	var e interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &e) {
		// The library's own text quotes the file; its message does not.
		f.Message = "not YAML: " + e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			f.Line, f.Column = t.Position.Line, t.Position.Column
		}
	}
	return f
}

// refusedTokens are parts of YAML that a policy does without.
var refusedTokens = map[token.Type]string{
	token.AnchorType:     "an anchor (&)",
	token.AliasType:      "an alias (*)",
	token.MergeKeyType:   "a merge (<<)",
	token.TagType:        "a tag (!)",
	token.DirectiveType:  "a directive (%)",
	token.MappingKeyType: "a complex key (?)",
}

// bounded refuses what would cost the parser more than the file's size, before
// the parser sees it.
func bounded(tokens token.Tokens, r *report) bool {
	var l layout
	for _, t := range tokens {
		code, what := l.add(t)
		if what == "" {
			if part := refusedTokens[t.Type]; part != "" {
				code, what = "not-taken", part+" is not taken in a policy: write the value where it belongs"
			}
		}
		if what != "" {
			r.add(Finding{Line: t.Position.Line, Column: t.Position.Column, Severity: Error, Code: code, Message: what})
			return false
		}
	}
	return true
}

// layout counts what makes a file deep or wide, token by token.
type layout struct {
	line          int
	entries, keys int    // on this line
	empty         int    // keys without a value
	flow          []int  // commas of each open bracket
	block         []rung // the lines that the present one stands within, and itself
}

// rung is a line's column, and how many lines so far began there.
type rung struct{ column, lines int }

func (l *layout) add(t *token.Token) (code, what string) {
	if t.Position.Line != l.line && len(l.flow) == 0 {
		l.newLine(t.Position)
	}
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		l.flow = append(l.flow, 0)
	case token.MappingEndType, token.SequenceEndType:
		l.flow = l.flow[:max(len(l.flow)-1, 0)]
	case token.CollectEntryType:
		if n := len(l.flow); n > 0 {
			l.flow[n-1]++
		}
	case token.SequenceEntryType:
		l.entries++
	case token.MappingValueType:
		if len(l.flow) == 0 {
			l.keys++
		}
		if n := t.Next; n != nil && n.Type != token.SequenceEntryType && n.Position.Line > l.line && n.Position.Column <= l.block[len(l.block)-1].column {
			l.empty++
		}
	}
	switch {
	case len(l.flow) > maxDepth || l.entries > maxDepth || l.keys > maxDepth || len(l.block) > 2*maxDepth:
		return "too-deep", fmt.Sprintf("more than %d levels of maps and lists", maxDepth)
	case l.empty > maxEmpty:
		return "too-large", fmt.Sprintf("more than %d keys without a value", maxEmpty)
	case l.block[len(l.block)-1].lines > maxBlock:
		return "too-large", fmt.Sprintf("more than %d entries of one map or list", maxBlock)
	case len(l.flow) > 0 && l.flow[len(l.flow)-1] > maxFlow:
		return "too-large", fmt.Sprintf("more than %d entries of one map or list in brackets", maxFlow)
	}
	return "", ""
}

func (l *layout) newLine(p *token.Position) {
	l.line, l.entries, l.keys = p.Line, 0, 0
	for len(l.block) > 0 && l.block[len(l.block)-1].column > p.Column {
		l.block = l.block[:len(l.block)-1]
	}
	if n := len(l.block); n > 0 && l.block[n-1].column == p.Column {
		l.block[n-1].lines++
		return
	}
	l.block = append(l.block, rung{p.Column, 1})
}

// converter turns the library's tree into ours.
type converter struct {
	report *report
	count  int
	failed bool
}

func (c *converter) fail(n *node, code, message string) *node {
	if !c.failed {
		c.report.at(n, Error, code, "", "%s", message)
	}
	c.failed = true
	n.kind = badNode
	return n
}

func (c *converter) node(a ast.Node, depth int) *node {
	n := &node{}
	if a == nil {
		return n
	}
	t := a.GetToken()
	if t != nil && t.Position != nil {
		n.line, n.column = t.Position.Line, t.Position.Column
	}
	c.count++
	switch {
	case c.failed:
		return n
	case depth > maxDepth:
		return c.fail(n, "too-deep", fmt.Sprintf("more than %d levels of maps and lists", maxDepth))
	case c.count > maxNodes:
		return c.fail(n, "too-large", fmt.Sprintf("more than %d values", maxNodes))
	}
	switch v := a.(type) {
	case *ast.MappingNode:
		n.kind = mapNode
		for _, value := range v.Values {
			c.entry(n, value, depth)
		}
		n.startAtFirstKey()
	case *ast.MappingValueNode:
		n.kind = mapNode
		c.entry(n, v, depth)
		n.startAtFirstKey()
	case *ast.SequenceNode:
		n.kind = listNode
		for _, value := range v.Values {
			n.items = append(n.items, c.node(value, depth+1))
		}
	case *ast.StringNode:
		n.kind, n.text = textNode, v.Value
		if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
			n.inner = 1
		}
	case *ast.LiteralNode:
		n.kind = textNode
		if v.Value != nil {
			n.text = v.Value.Value
		}
	case *ast.IntegerNode:
		n.kind, n.text = intNode, t.Value
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = floatNode, t.Value
	case *ast.BoolNode:
		n.kind, n.text = boolNode, "false"
		if v.Value {
			n.text = "true"
		}
	case *ast.NullNode:
	default:
		return c.fail(n, "not-taken", "this part of YAML is not taken in a policy")
	}
	return n
}

func (n *node) startAtFirstKey() {
	if len(n.entries) > 0 {
		n.line, n.column = n.entries[0].line, n.entries[0].column
	}
}

func (c *converter) entry(n *node, v *ast.MappingValueNode, depth int) {
	if v.Key == nil || v.Key.GetToken() == nil {
		c.fail(&node{line: n.line, column: n.column}, "syntax", "a key is missing")
		return
	}
	t := v.Key.GetToken()
	e := entry{key: t.Value, line: t.Position.Line, column: t.Position.Column}
	e.value = c.node(v.Value, depth+1)
	if e.value.line == 0 || e.value.kind == nullNode {
		e.value.line, e.value.column = e.line, e.column
	}
	n.entries = append(n.entries, e)
}
