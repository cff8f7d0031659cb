package capability

import (
	"context"
	"errors"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"

	"gatehouse/plugins/sandbox"
)

// askedKey finds in a context the names of the plugins on whose behalf the server's authorizers are asked.
type askedKey struct{}

// Asked marks a question to the server's authorizers as a plugin's, so that the plugin is not asked it: it could ask again.
func Asked(ctx context.Context, plugin string) context.Context {
	before, _ := ctx.Value(askedKey{}).([]string)
	return context.WithValue(ctx, askedKey{}, append(slices.Clip(before), plugin))
}

// Asks says whether a question to the server's authorizers is the plugin's own, or comes of it.
func Asks(ctx context.Context, plugin string) bool {
	names, _ := ctx.Value(askedKey{}).([]string)
	return slices.Contains(names, plugin)
}

// canI answers authz.can_i: the payload is the spec of a SubjectAccessReview, the answer its status.
func canI(access Access) sandbox.Operation {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		if access == nil {
			return nil, errors.New("there are no authorizers to ask here")
		}
		var spec authorizationv1.SubjectAccessReviewSpec
		if err := decode(payload, &spec); err != nil {
			return nil, err
		}
		status, err := access.Review(ctx, spec)
		if err != nil {
			return nil, err
		}
		return encode(status)
	}
}
