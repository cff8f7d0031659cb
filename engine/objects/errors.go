package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/storage"
)

// The wording is kube-apiserver's (k8s.io/apiserver/pkg/storage/etcd3/errors.go), because clients look for it.
const (
	watchExpired    = "The resourceVersion for the provided watch is too old."
	listExpired     = "The resourceVersion for the provided list is too old."
	continueExpired = "The provided continue parameter is too old " +
		"to display a consistent list result. You can start a new list without " +
		"the continue parameter."
	inconsistentContinue = "The provided continue parameter is too old " +
		"to display a consistent list result. You can start a new list without " +
		"the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided " +
		"token results in an inconsistent list - objects that were created, " +
		"modified, or deleted between the time the first chunk was returned " +
		"and now may show up in the list."
	// watchTooSlow has no counterpart upstream, which closes such a watch without a word.
	watchTooSlow = "The watch did not take its events fast enough and has been cut off."
)

// backendError names what failed. A closed backend reads as "try again" to clients, because a server that shuts down is
// about to be started again.
func (s *Store) backendError(operation, key string, err error) error {
	if errors.Is(err, storage.ErrClosed) {
		return apistorage.NewUnreachableError(key, 0)
	}
	err = fmt.Errorf("%s %s of %s: %w", operation, key, s.groupResource, err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return apierrors.NewInternalError(err)
}

// listExpiredError answers a list at a revision that has been compacted. To a continued list (paging) it offers a token with
// which to go on at position, at whatever revision is current then.
func listExpiredError(paging bool, position, prefix string) error {
	if !paging {
		return apierrors.NewResourceExpired(listExpired)
	}
	// -1 stands for "the current revision"; 0 would be an invalid token.
	token, err := apistorage.EncodeContinue(position, prefix, -1)
	if err != nil {
		return apierrors.NewResourceExpired(continueExpired)
	}
	status := apierrors.NewResourceExpired(inconsistentContinue)
	status.ErrStatus.ListMeta.Continue = token
	return status
}

// errorEvent is the last event of a watch that fails.
func errorEvent(err error) watch.Event {
	status := watchStatus(err)
	return watch.Event{Type: watch.Error, Object: &status}
}

func watchStatus(err error) metav1.Status {
	var corrupt *corruptDeletionError
	var known apierrors.APIStatus
	switch {
	case errors.Is(err, storage.ErrCompacted):
		return apierrors.NewResourceExpired(watchExpired).Status()
	case errors.Is(err, storage.ErrSlowWatcher):
		return apierrors.NewResourceExpired(watchTooSlow).Status()
	case errors.As(err, &corrupt):
		return metav1.Status{
			Status:  metav1.StatusFailure,
			Code:    http.StatusInternalServerError,
			Reason:  metav1.StatusReasonStoreReadError,
			Message: corrupt.Error(),
		}
	case errors.As(err, &known):
		return known.Status()
	default:
		return apierrors.NewInternalError(err).Status()
	}
}
