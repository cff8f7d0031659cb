package pluginapi

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatehouse/engine/pluginapi/v1alpha1"
	"gatehouse/plugins"
	"gatehouse/plugins/sandbox"
)

// objectOf is a plugin as users see it, without a resourceVersion.
func objectOf(status *plugins.Status) *v1alpha1.Plugin {
	object := &v1alpha1.Plugin{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Plugin"},
		ObjectMeta: metav1.ObjectMeta{
			Name: status.Name,
			// The same for as long as the same file lies there, so that clients can tell a plugin from another of its name.
			UID:               types.UID(uuid.NewSHA1(uuid.NameSpaceOID, []byte(status.Name+" "+status.Born.UTC().String())).String()),
			CreationTimestamp: seconds(status.Born),
		},
		Spec: specOf(status),
		Status: v1alpha1.PluginStatus{
			State:          string(status.State),
			Since:          seconds(status.StateSince),
			Revision:       status.Revision,
			NewestRevision: status.Newest,
			Roles:          namesOf(status.Roles),
			ABI:            status.ABI,
			Language:       status.Language,
			Wants:          status.Wants,
			Usage: v1alpha1.PluginUsage{
				Instances: int32(status.Instances), Busy: int32(status.Busy), Memory: *resource.NewQuantity(status.Memory, resource.BinarySI),
			},
		},
	}
	if status.Fault != nil {
		object.Status.Message = status.Fault.Error()
	}
	if status.Revision != "" {
		since := seconds(status.Since)
		object.Status.ServingSince = &since
		object.Status.Limits = limitsOf(status.Limits)
	}
	for _, failure := range status.Failures {
		object.Status.LastErrors = append(object.Status.LastErrors, errorOf(failure))
	}
	for _, q := range status.Quarantines {
		object.Status.Quarantines = append(object.Status.Quarantines, v1alpha1.PluginQuarantine{
			Role: string(q.Role), About: q.About, Since: seconds(q.Since), Until: seconds(q.Until), Failures: int32(q.Failures),
			LastError: errorOf(q.Last),
		})
	}
	count(&object.Status, status.Calls)
	return object
}

func errorOf(failure plugins.Failure) v1alpha1.PluginError {
	return v1alpha1.PluginError{Time: seconds(failure.Time), Role: string(failure.Role), Kind: string(failure.Kind), Cause: failure.Cause,
		Revision: failure.Revision}
}

// seconds is a time as precise as JSON has it.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

// specOf is the plugin's configuration. A test holds the kind against what name.yaml can have, so that nothing is lost.
func specOf(status *plugins.Status) v1alpha1.PluginSpec {
	var spec v1alpha1.PluginSpec
	if err := json.Unmarshal(status.Configuration, &spec); err != nil {
		spec = v1alpha1.PluginSpec{} // the test would have found it; the rest of the plugin is worth being seen without
	}
	spec.SettingNames = status.SettingNames
	if spec.Capabilities != nil && string(spec.Capabilities.Raw) == "{}" {
		spec.Capabilities = nil
	}
	// Sections of roles that the plugin does not play mean nothing; as long as nothing serves nobody knows.
	if len(status.Roles) > 0 {
		if !slices.Contains(status.Roles, sandbox.Authenticate) {
			spec.Authentication = nil
		}
		if !slices.Contains(status.Roles, sandbox.Authorize) {
			spec.Authorization = nil
		}
		if !slices.Contains(status.Roles, sandbox.Admit) {
			spec.Admission = nil
		}
	}
	return spec
}

func namesOf(roles []sandbox.Role) []string {
	var names []string
	for _, role := range roles {
		names = append(names, string(role))
	}
	return names
}

func limitsOf(limits sandbox.Limits) *v1alpha1.PluginLimits {
	return &v1alpha1.PluginLimits{
		Memory:    *resource.NewQuantity(limits.Memory, resource.BinarySI),
		Output:    *resource.NewQuantity(limits.Output, resource.BinarySI),
		Deadline:  metav1.Duration{Duration: limits.Deadline},
		Start:     metav1.Duration{Duration: limits.Start},
		Instances: int32(limits.Instances),
	}
}

// count fills in what the plugin has done.
func count(into *v1alpha1.PluginStatus, calls []plugins.Calls) {
	var slowest time.Duration
	for _, c := range calls {
		into.CallsByRole = append(into.CallsByRole, v1alpha1.RoleCalls{
			Role: string(c.Role), Calls: int64(c.Total()), Allowed: int64(c.Allowed), Denied: int64(c.Denied), NoOpinion: int64(c.NoOpinion),
			Failed: int64(c.Failed), Ignored: int64(c.Ignored), P50: metav1.Duration{Duration: readable(c.P50)}, P99: metav1.Duration{Duration: readable(c.P99)},
		})
		into.Calls += int64(c.Total())
		into.Denials += int64(c.Denied)
		into.Errors += int64(c.Errors())
		slowest = max(slowest, c.P99)
	}
	if slowest > 0 {
		into.P99 = &metav1.Duration{Duration: readable(slowest)}
	}
}

// readable rounds a duration to the digits to which it is known.
func readable(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		switch {
		case d >= 10*unit:
			return d.Round(unit)
		case d >= unit:
			return d.Round(unit / 10)
		}
	}
	return d
}
