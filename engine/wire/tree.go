package wire

// Field is one readable field with the octets that it stands in.
type Field struct {
	Name     string
	Value    string // free of control characters, whatever the wire held
	Offset   int    // octets from the start of the message or decrypted chain
	Length   int    // octets
	Children []Field
}

func (m *Message) Tree() []Field { return nil }
func (p *Payload) Tree() Field   { return Field{Name: "x", Offset: p.Offset, Length: p.Length} }
