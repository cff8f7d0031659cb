package controllers

import (
	"context"

	"gatehouse/engine/controllers/garbage"
)

// buildGarbage deletes what nobody owns any more.
func buildGarbage(_ context.Context, t tools) (func(context.Context), error) {
	collector := garbage.New(garbage.Config{Client: t.client, Metadata: t.metadata, Cache: t.Cache, Logger: t.Logger})
	collector.SetKinds(t.Kinds())
	return collector.Run, nil
}
