package lateen

// Binding is the target of a host. The zero Binding
// leads nowhere.
type Binding struct {
	Deployment DeploymentID `json:"deployment,omitempty"` // serves all requests
}

// IsZero reports whether b leads nowhere.
func (b Binding) IsZero() bool { return b == Binding{} }
