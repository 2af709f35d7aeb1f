package lateen

// EventType is the kind of an [Event]: the noun that changed and the change. The
// names of deployment and project events are those of Vercel's webhooks where it has
// the event.
type EventType string

// The event types. The subject of an event is given in parentheses.
const (
	DeploymentCreated  EventType = "deployment.created"  // accepted and queued (deployment)
	DeploymentState    EventType = "deployment.state"    // in another state that is not final (deployment)
	DeploymentReady    EventType = "deployment.ready"    // READY, with its hosts (deployment)
	DeploymentFailed   EventType = "deployment.error"    // ERROR (deployment)
	DeploymentCanceled EventType = "deployment.canceled" // CANCELED (deployment)
	DeploymentRemoved  EventType = "deployment.removed"  // deleted (deployment)
	// DeploymentPromoted reports the production deployment of a project (project).
	DeploymentPromoted EventType = "deployment.promoted"

	HostBound   EventType = "host.bound"   // leads to the binding of the event (host)
	HostUnbound EventType = "host.unbound" // leads nowhere (host)

	ProjectCreated EventType = "project.created" // (project)
	ProjectUpdated EventType = "project.updated" // changed name or settings (project)
	ProjectRemoved EventType = "project.removed" // deleted with all of its objects (project)
	// ProjectEnvChanged reports a variable that was created, changed or deleted
	// (project). It holds neither the name nor the value of the variable.
	ProjectEnvChanged EventType = "project.env-variable.changed"

	// CacheInvalidated reports content of a project that is no longer valid (project).
	CacheInvalidated EventType = "cache.invalidated"
)

// Event is a change of the platform's state. The transaction of the change records
// it, so that an event exists exactly if its change does. Every subscriber gets every
// event at least once, and events in the order of their serials.
type Event struct {
	// Serial counts the events of the platform from 1, without gaps, in the order of
	// their transactions. The store sets it.
	Serial    int64     `json:"serial"`
	Type      EventType `json:"type"`
	CreatedAt Millis    `json:"createdAt"`
	Team      TeamID    `json:"teamId"`
	Project   ProjectID `json:"projectId,omitempty"`
	// Subject is the id, or the host, of the object that changed.
	Subject    string       `json:"subject"`
	Deployment DeploymentID `json:"deploymentId,omitempty"` // "" if the event concerns no deployment
	// Binding is the new binding of the host in a host.bound event; otherwise zero.
	Binding Binding `json:"binding,omitzero"`
	// Invalidation is the content of a cache.invalidated event; otherwise zero.
	Invalidation Invalidation `json:"invalidation,omitzero"`
}
