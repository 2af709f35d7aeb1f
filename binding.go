package lateen

// Binding is the target of a host. The zero Binding
// leads nowhere.
type Binding struct {
	Deployment DeploymentID `json:"deployment,omitempty"` // serves all requests
	// Redirect is the host to which all requests are redirected, with their path and
	// query; "" serves the deployment.
	Redirect string `json:"redirect,omitempty"`
}

// IsZero reports whether b leads nowhere.
func (b Binding) IsZero() bool { return b == Binding{} }
