package lateen

import "context"

// Principal is the identity that a request acts as. The zero value is an anonymous
// request.
type Principal struct {
	User  UserID
	Team  TeamID // team that the request acts for
	Token TokenID
	Role  Role  // of User in Team
	Scope Scope // scope of Token

	// Project is the only project that Token can reach; "" is every project of Team.
	Project ProjectID
	// Until is the expiry of Token; 0 is never.
	Until Millis
}

// May decides whether p has a permission, as [Authorize] does.
func (p Principal) May(need Permission) error { return Authorize(p.Role, p.Scope, need) }

// Reaches reports whether the token of p can reach a project of its team.
func (p Principal) Reaches(project ProjectID) bool { return p.Project == "" || p.Project == project }

type principalKey struct{}

// WithPrincipal returns a context that acts as p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns the principal of ctx, or the zero value.
func PrincipalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

type requestKey struct{}

// WithRequestID returns a context that belongs to request id.
func WithRequestID(ctx context.Context, id RequestID) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestIDFrom returns the request of ctx, or "".
func RequestIDFrom(ctx context.Context) RequestID {
	id, _ := ctx.Value(requestKey{}).(RequestID)
	return id
}

type clientKey struct{}

// WithClient returns a context of a request that came from a network address.
func WithClient(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, clientKey{}, address)
}

// ClientFrom returns the network address that the request of ctx came from, or "".
func ClientFrom(ctx context.Context) string {
	address, _ := ctx.Value(clientKey{}).(string)
	return address
}
