package api

import "github.com/lateen-dev/lateen"

// Row is a route in the tests of access and of the audit log.
type Row struct {
	Method, Path string
	Needs        lateen.Permission
	Audit        lateen.Action
	Query        string
}

// Rows returns all routes of the API.
func Rows() []Row {
	var rows []Row
	for _, r := range routes() {
		rows = append(rows, Row{r.Method, r.Path, r.Needs, r.Audit, r.Query})
	}
	return rows
}
