package command

// Nearest returns the name that text is a likely misspelling of, or "". One letter in
// three of text may differ.
func Nearest(text string, names []string) string {
	nearest, least := "", len(text)/3+1
	for _, name := range names {
		n := Edits(text, name)
		if n < least && n < len(name) {
			nearest, least = name, n
		}
	}
	return nearest
}

// Edits is the Levenshtein distance of a and b in bytes.
func Edits(a, b string) int {
	row := make([]int, len(b)+1) // from the part of a read so far to each prefix of b
	for i := range row {
		row[i] = i
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
