package wire

import "strconv"

// name gives table[i], or a name that carries the number: PRIVATE_USE_<i> from
// private on (0: the space has no private range), else UNKNOWN_<i>.
func name(table []string, i, private int) string {
	if i < len(table) && table[i] != "" {
		return table[i]
	}
	if private > 0 && i >= private {
		return "PRIVATE_USE_" + strconv.Itoa(i)
	}
	return "UNKNOWN_" + strconv.Itoa(i)
}

// known says whether the table names i.
func known(table []string, i int) bool { return i < len(table) && table[i] != "" }
