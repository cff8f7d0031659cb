package pluginapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"gatehouse/engine/leash"
	"gatehouse/engine/pluginapi/v1alpha1"
	"gatehouse/plugins"
)

const (
	// ReviewsSubresource is the subresource of a plugin that streams what it is asked.
	ReviewsSubresource = "reviews"
	// credentialsSubresource is nothing but a permission: to see what reviews hold of credentials.
	credentialsSubresource = "credentials"

	// DefaultReviews and MaxReviews are after how many reviews a recording ends, DefaultTime and MaxTime after how long.
	DefaultReviews = 100
	MaxReviews     = 10_000
	DefaultTime    = time.Minute
	MaxTime        = time.Hour

	// recordingRetrySeconds is when to try again if others record.
	recordingRetrySeconds = 10
)

// Line is one line of a recording, which is a stream of JSON. The first has Began, the last has End, all others have a Record.
type Line struct {
	// Began says that the recording has begun, and which revision serves.
	Began *Began `json:"began,omitempty"`
	// Record is one call.
	Record *plugins.Record `json:"record,omitempty"`
	// End says that there is no more. A stream without it was cut off.
	End *End `json:"end,omitempty"`
}

// Began begins a recording.
type Began struct {
	Revision string `json:"revision"`
}

// End ends a recording.
type End struct {
	// Reason is why.
	Reason string `json:"reason"`
	// Dropped is how many calls are missing because the client did not take them in time.
	Dropped uint64 `json:"dropped"`
}

// reviews streams what a plugin is asked while somebody looks.
type reviews struct {
	plugins    *plugins.Set
	authorizer authorizer.Authorizer
}

var (
	_ rest.Storage   = (*reviews)(nil)
	_ rest.Connecter = (*reviews)(nil)
)

// New implements rest.Storage.
func (r *reviews) New() runtime.Object { return &v1alpha1.PluginReviewOptions{} }

// Destroy implements rest.Storage.
func (r *reviews) Destroy() {}

// ConnectMethods implements rest.Connecter.
func (r *reviews) ConnectMethods() []string { return []string{http.MethodGet} }

// NewConnectOptions implements rest.Connecter.
func (r *reviews) NewConnectOptions() (runtime.Object, bool, string) {
	return &v1alpha1.PluginReviewOptions{}, false, ""
}

// Connect implements rest.Connecter.
func (r *reviews) Connect(ctx context.Context, name string, object runtime.Object, responder rest.Responder) (http.Handler, error) {
	options := *object.(*v1alpha1.PluginReviewOptions)
	if options.Count == 0 {
		options.Count = DefaultReviews
	}
	if options.TimeoutSeconds == 0 {
		options.TimeoutSeconds = int64(DefaultTime / time.Second)
	}
	if options.Count > MaxReviews || options.TimeoutSeconds > int64(MaxTime/time.Second) {
		return nil, apierrors.NewBadRequest("at most 10000 reviews are recorded, and for at most 3600 seconds")
	}
	if options.Credentials {
		if err := r.mayCredentials(ctx, name); err != nil {
			return nil, err
		}
	}
	recording, err := r.plugins.Record(name, options.Credentials)
	switch {
	case errors.Is(err, plugins.ErrNoPlugin):
		return nil, apierrors.NewNotFound(groupResource(), name)
	case err != nil:
		return nil, apierrors.NewTooManyRequests(err.Error(), recordingRetrySeconds)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		defer recording.Close()
		stream(w, request.Context(), recording, options)
	}), nil
}

// mayCredentials refuses users without the permission to see credentials.
func (r *reviews) mayCredentials(ctx context.Context, name string) error {
	user, _ := request.UserFrom(ctx)
	decision, reason, err := r.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: user, Verb: "get", Name: name, APIGroup: groupResource().Group, APIVersion: v1alpha1.SchemeGroupVersion.Version,
		Resource: groupResource().Resource, Subresource: credentialsSubresource, ResourceRequest: true,
	})
	if decision == authorizer.DecisionAllow {
		return nil
	}
	if err == nil {
		err = errors.New("reviews with credentials take the permission to get plugins/" + credentialsSubresource + " " + reason)
	}
	return apierrors.NewForbidden(groupResource(), name, err)
}

// stream sends a line for each call until enough have come, time is up, the plugin has gone or the client has.
func stream(w http.ResponseWriter, ctx context.Context, recording *plugins.Recording, options v1alpha1.PluginReviewOptions) {
	timeout := time.Duration(options.TimeoutSeconds) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// A client that does not read keeps its recording, of which there are few, no longer than one that does.
	held := leash.New(w, timeout)
	defer held.Release()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	encoder := json.NewEncoder(w)
	control := http.NewResponseController(w)
	send := func(line Line) bool { return encoder.Encode(line) == nil && control.Flush() == nil }
	if !send(Line{Began: &Began{Revision: recording.Revision()}}) {
		return
	}
	reason := "as many as were asked for"
	for range options.Count {
		record, err := recording.Next(ctx)
		if err != nil {
			if reason = "time is up"; errors.Is(err, plugins.ErrPluginGone) {
				reason = err.Error()
			}
			break
		}
		if !send(Line{Record: record}) {
			return
		}
	}
	send(Line{End: &End{Reason: reason, Dropped: recording.Dropped()}})
}
