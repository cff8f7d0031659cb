package objects_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/features"
	apistorage "k8s.io/apiserver/pkg/storage"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	"k8s.io/apiserver/pkg/storage/value"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"

	"gatehouse/engine/objects"
)

// TestUpstreamSuite runs every test that upstream has for an implementation of storage.Interface, each on a new database.
// TestUpstreamSuiteIsComplete sees to it that none is left out.
func TestUpstreamSuite(t *testing.T) {
	type test = func(ctx context.Context, t *testing.T, h *house)
	plain := func(run func(context.Context, *testing.T, apistorage.Interface)) test {
		return func(ctx context.Context, t *testing.T, h *house) { run(ctx, t, h) }
	}
	prefixed := func(run func(context.Context, *testing.T, storagetesting.InterfaceWithPrefixTransformer)) test {
		return func(ctx context.Context, t *testing.T, h *house) { run(ctx, t, h) }
	}
	tests := map[string]test{
		"Create": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestCreate(ctx, t, h, h.checkStored)
		},
		"CreateWithTTL":      plain(storagetesting.RunTestCreateWithTTL),
		"CreateWithKeyExist": plain(storagetesting.RunTestCreateWithKeyExist),
		"Get":                plain(storagetesting.RunTestGet),
		"KeySchema":          plain(storagetesting.RunTestKeySchema),

		"UnconditionalDelete":                     plain(storagetesting.RunTestUnconditionalDelete),
		"ConditionalDelete":                       plain(storagetesting.RunTestConditionalDelete),
		"DeleteWithSuggestion":                    plain(storagetesting.RunTestDeleteWithSuggestion),
		"DeleteWithSuggestionAndConflict":         plain(storagetesting.RunTestDeleteWithSuggestionAndConflict),
		"DeleteWithConflict":                      plain(storagetesting.RunTestDeleteWithConflict),
		"DeleteWithSuggestionOfDeletedObject":     plain(storagetesting.RunTestDeleteWithSuggestionOfDeletedObject),
		"ValidateDeletionWithSuggestion":          plain(storagetesting.RunTestValidateDeletionWithSuggestion),
		"ValidateDeletionWithOnlySuggestionValid": plain(storagetesting.RunTestValidateDeletionWithOnlySuggestionValid),
		"PreconditionalDeleteWithSuggestion":      plain(storagetesting.RunTestPreconditionalDeleteWithSuggestion),
		"PreconditionalDeleteWithOnlySuggestionPass": plain(
			storagetesting.RunTestPreconditionalDeleteWithOnlySuggestionPass),

		"List": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestList(ctx, t, h, h.compact, false, nil)
		},
		"ConsistentList": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestConsistentList(ctx, t, h, h.increaseRevision, false, true, false)
		},
		"GetListNonRecursive": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestGetListNonRecursive(ctx, t, h.increaseRevision, h)
		},
		"GetListRecursivePrefix": plain(storagetesting.RunTestGetListRecursivePrefix),
		"GetListWithErrorAggregation": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestGetListWithErrorAggregation(ctx, t, h, objects.NewCorruptError())
		},
		"ListContinuation": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestListContinuation(ctx, t, h, h.checkCalls)
		},
		"ListPaginationRareObject": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestListPaginationRareObject(ctx, t, h, h.checkCalls)
		},
		"ListContinuationWithFilter": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestListContinuationWithFilter(ctx, t, h, h.checkCalls)
		},
		"ListInconsistentContinuation": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestListInconsistentContinuation(ctx, t, h, h.compact)
		},
		"ListResourceVersionMatch": prefixed(storagetesting.RunTestListResourceVersionMatch),
		"ListPaging":               plain(storagetesting.RunTestListPaging),
		"NamespaceScopedList":      plain(storagetesting.RunTestNamespaceScopedList),

		"GuaranteedUpdate": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestGuaranteedUpdate(ctx, t, h, h.checkStored)
		},
		"GuaranteedUpdateWithTTL":          plain(storagetesting.RunTestGuaranteedUpdateWithTTL),
		"GuaranteedUpdateChecksStoredData": prefixed(storagetesting.RunTestGuaranteedUpdateChecksStoredData),
		"GuaranteedUpdateWithConflict":     plain(storagetesting.RunTestGuaranteedUpdateWithConflict),
		"GuaranteedUpdateWithSuggestionAndConflict": plain(
			storagetesting.RunTestGuaranteedUpdateWithSuggestionAndConflict),

		"TransformationFailure": prefixed(storagetesting.RunTestTransformationFailure),
		"StatsWithoutSizes": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestStats(ctx, t, h, h.codec, h.transformer, false)
		},
		"StatsWithSizes": func(ctx context.Context, t *testing.T, h *house) {
			if err := h.EnableResourceSizeEstimation(func(context.Context) ([]string, error) { return nil, nil }); err != nil {
				t.Fatal(err)
			}
			storagetesting.RunTestStats(ctx, t, h, h.codec, h.transformer, true)
		},
		"CompactRevision": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestCompactRevision(ctx, t, h, h.increaseRevision, h.compact)
		},

		"Watch": plain(storagetesting.RunTestWatch),
		"WatchFromZero": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestWatchFromZero(ctx, t, h, h.compact)
		},
		"DeleteTriggerWatch":   plain(storagetesting.RunTestDeleteTriggerWatch),
		"WatchFromNonZero":     plain(storagetesting.RunTestWatchFromNonZero),
		"DelayedWatchDelivery": plain(storagetesting.RunTestDelayedWatchDelivery),
		"WatchError":           prefixed(storagetesting.RunTestWatchError),
		"WatchWithUnsafeDelete": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestWatchWithUnsafeDelete(ctx, t, h, objects.NewCorruptError())
		},
		"WatchContextCancel":                 plain(storagetesting.RunTestWatchContextCancel),
		"WatcherTimeout":                     plain(storagetesting.RunTestWatcherTimeout),
		"WatchDeleteEventObjectHaveLatestRV": plain(storagetesting.RunTestWatchDeleteEventObjectHaveLatestRV),
		"WatchInitializationSignal":          plain(storagetesting.RunTestWatchInitializationSignal),
		"ProgressNotify": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunOptionalTestProgressNotify(ctx, t, h, h.increaseRevision)
		},
		"ClusterScopedWatch":   plain(storagetesting.RunTestClusterScopedWatch),
		"NamespaceScopedWatch": plain(storagetesting.RunTestNamespaceScopedWatch),
		"WatchDispatchBookmarkEvents": func(ctx context.Context, t *testing.T, h *house) {
			storagetesting.RunTestWatchDispatchBookmarkEvents(ctx, t, h, true)
		},
		"OptionalWatchBookmarksWithCorrectResourceVersion": plain(
			storagetesting.RunTestOptionalWatchBookmarksWithCorrectResourceVersion),
		"SendInitialEventsBackwardCompatibility": plain(storagetesting.RunSendInitialEventsBackwardCompatibility),
		"WatchSemantics":                         plain(storagetesting.RunWatchSemantics),
		"WatchSemanticInitialEventsExtended":     plain(storagetesting.RunWatchSemanticInitialEventsExtended),
		"WatchListMatchSingle":                   plain(storagetesting.RunWatchListMatchSingle),
		"WatchErrorIsBlockingFurtherEvents":      prefixed(storagetesting.RunWatchErrorIsBlockingFurtherEvents),
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { run(context.Background(), t, open(t)) })
	}
}

// TestUpstreamSuiteForCorruptObjects runs those tests of upstream's suite that need the store set up in their own way.
func TestUpstreamSuiteForCorruptObjects(t *testing.T) {
	ctx := context.Background()
	t.Run("without the feature a list ends with the first corrupt object", func(t *testing.T) {
		featuregatetesting.SetFeatureGateDuringTest(
			t, utilfeature.DefaultFeatureGate, features.AllowUnsafeMalformedObjectDeletion, false)
		storagetesting.RunTestGetListWithoutErrorAggregation(ctx, t, open(t), objects.NewCorruptError())
	})
	t.Run("an object that can be decoded again is not deleted unread", func(t *testing.T) {
		codec := &failingCodec{Codec: testCodec()}
		h := open(t, func(c *objects.Config) { c.Codec = codec })
		storagetesting.RunTestDeleteWithConflictAndMissingExpectedTransformOrDecodeError(ctx, t, h, codec.fail.Store)
	})
	t.Run("an object that cannot be decoded is deleted unread", func(t *testing.T) {
		codec := &failingCodec{Codec: testCodec()}
		h := open(t, func(c *objects.Config) { c.Codec = codec })
		storagetesting.RunTestDeleteExpectedTransformOrDecodeError(ctx, t, h, codec.fail.Store)
	})
	t.Run("an object that cannot be decrypted is deleted unread", func(t *testing.T) {
		h := open(t)
		transformer := &failingTransformer{Transformer: h.transformer.get()}
		h.transformer.set(transformer)
		storagetesting.RunTestDeleteExpectedTransformOrDecodeError(ctx, t, h, transformer.fail.Store)
	})
	t.Run("a suggestion does not count as an object that cannot be read", func(t *testing.T) {
		storagetesting.RunTestDeleteWithSuggestionAndMissingExpectedTransformOrDecodeError(ctx, t, open(t))
	})
}

// failingCodec decodes nothing while fail is set.
type failingCodec struct {
	runtime.Codec
	fail atomic.Bool
}

func (c *failingCodec) Decode(
	data []byte, defaults *schema.GroupVersionKind, into runtime.Object,
) (runtime.Object, *schema.GroupVersionKind, error) {
	if c.fail.Load() {
		return nil, nil, errors.New("this codec fails")
	}
	return c.Codec.Decode(data, defaults, into)
}

// failingTransformer reads nothing while fail is set.
type failingTransformer struct {
	value.Transformer
	fail atomic.Bool
}

func (f *failingTransformer) TransformFromStorage(
	ctx context.Context, data []byte, dataCtx value.Context,
) ([]byte, bool, error) {
	if f.fail.Load() {
		return nil, false, errors.New("this transformer fails")
	}
	return f.Transformer.TransformFromStorage(ctx, data, dataCtx)
}
