package header

// Values holds the values of several headers in one allocation.
type Values []string

// Of adds a value and returns it as the value of a header.
func (v *Values) Of(s string) []string {
	*v = append(*v, s)
	return (*v)[len(*v)-1 : len(*v) : len(*v)]
}
