package diag

import "fmt"

// Sighting is an observation, and how often the same was made.
type Sighting struct {
	Evidence
	Times int      // at least 1
	Last  Evidence // the latest of them
}

// Sightings gives the evidence with what was observed again and again said once,
// where it was first observed.
func (f *Finding) Sightings() []Sighting {
	at := make(map[string]int, len(f.Evidence))
	var all []Sighting
	for _, e := range f.Evidence {
		i, again := at[e.What]
		if !again {
			at[e.What] = len(all)
			all = append(all, Sighting{Evidence: e, Times: 1, Last: e})
			continue
		}
		all[i].Times++
		all[i].Last = e
	}
	return all
}

// Words says what was observed, and where it was more than once how often.
func (s *Sighting) Words() string {
	switch {
	case s.Times == 1:
		return s.What
	case s.Last.Frame > s.Frame:
		return fmt.Sprintf("%s (%d times, last in frame %d)", s.What, s.Times, s.Last.Frame)
	case s.Last.Time.After(s.Time):
		return fmt.Sprintf("%s (%d times, last at %s)", s.What, s.Times, s.Last.Time.UTC().Format("15:04:05.000"))
	}
	return fmt.Sprintf("%s (%d times)", s.What, s.Times)
}
