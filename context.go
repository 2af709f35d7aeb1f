package lateen

import "context"

// Principal is who a request acts as. The zero value is nobody.
type Principal struct {
	User  UserID
	Team  TeamID // the team in whose name the request acts
	Token TokenID
	Role  Role // of User in Team
}

type principalKey struct{}

// WithPrincipal returns a context that acts as p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns who ctx acts as, or nobody.
func PrincipalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

type requestKey struct{}

// WithRequestID returns a context that belongs to request id.
func WithRequestID(ctx context.Context, id RequestID) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestIDFrom returns the request that ctx belongs to, or "".
func RequestIDFrom(ctx context.Context) RequestID {
	id, _ := ctx.Value(requestKey{}).(RequestID)
	return id
}
