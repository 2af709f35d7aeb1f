package api

import "testing"

// Each description belongs to a field that exists.
func TestEveryMeaningIsOfAFieldInTheDescription(t *testing.T) {
	t.Parallel()
	schemas := Describe().Components.Schemas
	for field := range meanings() {
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

// Clients are made from the description: it says where the API is, which values
// words have, and in which units numbers are.
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
