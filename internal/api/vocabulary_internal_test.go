package api

import "testing"

// Each description belongs to an existing field.
func TestEveryMeaningIsOfAFieldInTheDescription(t *testing.T) {
	t.Parallel()
	schemas := Describe().Components.Schemas
	for field := range fieldDocs() {
		there := false
		for name, s := range schemas {
			for property := range s.Properties {
				there = there || name+"."+property == field
			}
		}
		if !there {
			t.Errorf("no schema has the field %s", field)
		}
	}
}

// Clients are generated from the description: it contains the servers, the values of
// enumerated types, and the units of numbers.
func TestTheDescriptionHasServersUnitsAndValues(t *testing.T) {
	t.Parallel()
	doc := Describe()
	deployment, entry := doc.Components.Schemas["Deployment"].Properties, doc.Components.Schemas["Entry"].Properties
	if len(doc.Servers) == 0 || doc.Servers[0].URL != "/" {
		t.Errorf("servers are %+v", doc.Servers)
	}
	if got := deployment["readyState"].Enum; len(got) != 7 {
		t.Errorf("readyState is one of %v", got)
	}
	if deployment["createdAt"].About != "Unix milliseconds" || entry["duration"].About != "nanoseconds to the last byte" {
		t.Errorf("units are %q and %q", deployment["createdAt"].About, entry["duration"].About)
	}
	if _, ok := doc.Paths["/metrics"]["get"]; !ok {
		t.Error("/metrics is not described")
	}
	for _, p := range doc.Paths["/v6/deployments"]["get"].Parameters {
		if p.Name == "limit" && p.Schema.Type != "integer" {
			t.Errorf("limit is %v", p.Schema.Type)
		}
	}
}
