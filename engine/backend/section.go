package backend

// Section is a tree of settings in order, in swanctl's words: what
// swanctl.conf writes in braces. Values are strings, lists of strings or
// sections.
type Section struct {
	Items []Item
}

// Item is one entry of a Section: a value, a list or a section.
type Item struct {
	Name    string
	Value   string
	List    []string // not nil for a list
	Section *Section // not nil for a section
}

// Set appends or replaces a value.
func (s *Section) Set(name, value string) { s.put(Item{Name: name, Value: value}) }

// SetList appends or replaces a list; one without entries is a list too.
func (s *Section) SetList(name string, values ...string) {
	if values == nil {
		values = []string{}
	}
	s.put(Item{Name: name, List: values})
}

// Sub gives the section of a name, and makes it where there is none.
func (s *Section) Sub(name string) *Section {
	for i := range s.Items {
		if s.Items[i].Name == name && s.Items[i].Section != nil {
			return s.Items[i].Section
		}
	}
	sub := &Section{}
	s.put(Item{Name: name, Section: sub})
	return sub
}

// Get gives the entry of a name, nil where there is none.
func (s *Section) Get(name string) *Item {
	for i := range s.Items {
		if s.Items[i].Name == name {
			return &s.Items[i]
		}
	}
	return nil
}

func (s *Section) put(item Item) {
	if old := s.Get(item.Name); old != nil {
		*old = item
		return
	}
	s.Items = append(s.Items, item)
}
