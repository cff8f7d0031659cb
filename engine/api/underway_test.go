package api

import (
	"context"
	"errors"
	"testing"
)

func TestWritesAreAwaitedThatHaveBegun(t *testing.T) {
	var u underWay
	if err := u.await(t.Context(), "shop"); err != nil {
		t.Fatalf("there is nothing to wait for, but %v", err)
	}
	first, second := u.begin("shop"), u.begin("shop")
	elsewhere := u.begin("store")
	awaited := make(chan error)
	go func() { awaited <- u.await(t.Context(), "shop") }()
	// Only a write of the next generation tells that the wait has begun.
	var later *generation
	for later = u.begin("shop"); later == first; later = u.begin("shop") {
		u.end("shop", later)
	}
	u.end("shop", first)
	select {
	case <-awaited:
		t.Fatal("it did not wait for the second write")
	default:
	}
	u.end("shop", second)
	if err := <-awaited; err != nil {
		t.Fatal(err)
	}
	u.end("shop", later)
	u.end("store", elsewhere)
	if len(u.present) > 0 {
		t.Errorf("%d namespaces are remembered in which nothing is written", len(u.present))
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	var u underWay
	write := u.begin("shop")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.await(ctx, "shop"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	u.end("shop", write)
}
