package v1alpha1

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Plugin is a WebAssembly module that takes part in the server's gates. It cannot be written: a plugin comes, changes and goes with its
// files in the server's plugin folder.
type Plugin struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the plugin's. Its name is that of its files, its creationTimestamp is when the module was put where it is.
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the plugin's configuration, complete: with all that NAME.yaml leaves to the module's author and to the server.
	Spec PluginSpec `json:"spec"`
	// status is how the plugin is and what it has done.
	Status PluginStatus `json:"status"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// PluginList is a list of plugins, in the order in which they are asked.
type PluginList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the list's.
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the plugins.
	Items []Plugin `json:"items"`
}

// PluginSpec is a plugin's configuration.
type PluginSpec struct {
	// description says what the plugin is for.
	Description string `json:"description,omitempty"`
	// roles are those that the configuration gives the plugin, of authenticate, authorize and admit; all that the module plays when empty.
	// +listType=atomic
	Roles []string `json:"roles,omitempty"`
	// failurePolicy is what happens when the plugin cannot decide: Fail denies the request, Ignore lets it go on.
	FailurePolicy string `json:"failurePolicy,omitempty"`
	// authentication says when the plugin is asked who somebody is, and whom it may name.
	Authentication *AuthenticationSpec `json:"authentication,omitempty"`
	// authorization says when the plugin is asked what somebody may do.
	Authorization *AuthorizationSpec `json:"authorization,omitempty"`
	// admission says which writes the plugin is asked about.
	Admission *AdmissionSpec `json:"admission,omitempty"`
	// settingNames are the names of the plugin's settings. Their values may be secret, and are not shown.
	// +listType=atomic
	SettingNames []string `json:"settingNames,omitempty"`
	// capabilities are what the plugin may ask of the server, as in its NAME.yaml; key sets are not shown.
	Capabilities *runtime.RawExtension `json:"capabilities,omitempty"`
	// sha256 is the hash that the module must have, if it must have one.
	SHA256 string `json:"sha256,omitempty"`
	// publicKey is that of who must have signed the module, if somebody must.
	PublicKey string `json:"publicKey,omitempty"`
}

// AuthenticationSpec says when a plugin is asked who somebody is.
type AuthenticationSpec struct {
	// tokens says whether it is asked about bearer tokens.
	Tokens bool `json:"tokens"`
	// requests says what it gets to see of the rest of requests; nothing when missing.
	Requests *RequestsSpec `json:"requests,omitempty"`
	// systemNames are users and groups that it may name though they begin with system:.
	// +listType=atomic
	SystemNames []string `json:"systemNames,omitempty"`
}

// RequestsSpec says what a plugin gets to see of requests.
type RequestsSpec struct {
	// headers are the names of those that it sees.
	// +listType=atomic
	Headers []string `json:"headers,omitempty"`
	// clientCertificates says whether it sees those.
	ClientCertificates bool `json:"clientCertificates,omitempty"`
	// query says whether it sees the query of the URL.
	Query bool `json:"query,omitempty"`
}

// AuthorizationSpec says when a plugin is asked what somebody may do.
type AuthorizationSpec struct {
	// rules are what it is asked about, any of them.
	// +listType=atomic
	Rules []AuthorizationRule `json:"rules,omitempty"`
	// matchConditions must all be true of a request besides.
	// +listType=atomic
	MatchConditions []MatchCondition `json:"matchConditions,omitempty"`
}

// MatchCondition is a condition in CEL.
type MatchCondition struct {
	// name is what the condition is called.
	Name string `json:"name,omitempty"`
	// expression is the condition.
	Expression string `json:"expression"`
}

// AuthorizationRule matches a request when each list that it has does. Patterns are whole, or end in *.
type AuthorizationRule struct {
	// users are those who ask.
	// +listType=atomic
	Users []string `json:"users,omitempty"`
	// groups are those of whom one is the asking user's.
	// +listType=atomic
	Groups []string `json:"groups,omitempty"`
	// verbs are those of requests.
	// +listType=atomic
	Verbs []string `json:"verbs,omitempty"`
	// apiGroups are those of resources.
	// +listType=atomic
	APIGroups []string `json:"apiGroups,omitempty"`
	// resources are pods, pods/log, pods/*, */scale or *.
	// +listType=atomic
	Resources []string `json:"resources,omitempty"`
	// namespaces are those of resources.
	// +listType=atomic
	Namespaces []string `json:"namespaces,omitempty"`
	// names are those of objects.
	// +listType=atomic
	Names []string `json:"names,omitempty"`
	// paths are those of requests that are for no resource.
	// +listType=atomic
	Paths []string `json:"paths,omitempty"`
}

// AdmissionSpec says which writes a plugin is asked about, as webhook configurations do.
type AdmissionSpec struct {
	// phases are when it is asked: mutate, validate or both.
	// +listType=atomic
	Phases []string `json:"phases,omitempty"`
	// rules are what it is asked about, any of them.
	// +listType=atomic
	Rules []admissionregistrationv1.RuleWithOperations `json:"rules,omitempty"`
	// matchPolicy is Exact, or Equivalent if rules also match what is the same in another version.
	MatchPolicy admissionregistrationv1.MatchPolicyType `json:"matchPolicy,omitempty"`
	// namespaceSelector selects namespaces by their labels; all when left out.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// objectSelector selects objects by their labels; all when left out.
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`
	// matchConditions must all be true of a write besides.
	// +listType=atomic
	MatchConditions []MatchCondition `json:"matchConditions,omitempty"`
}

// PluginStatus is how a plugin is and what it has done.
type PluginStatus struct {
	// state is Loading, Serving, Stale (the newest files are broken, the last good revision serves), Broken (nothing serves, and what
	// concerns the plugin is denied unless its failurePolicy is Ignore) or Quarantined (it has failed too often to be asked for now).
	State string `json:"state"`
	// since is when the plugin came into that state.
	Since metav1.Time `json:"since"`
	// message says why the plugin is not serving, or not from its newest files.
	Message string `json:"message,omitempty"`
	// revision identifies the content of the files that serve.
	Revision string `json:"revision,omitempty"`
	// servingSince is when that revision began to serve.
	ServingSince *metav1.Time `json:"servingSince,omitempty"`
	// newestRevision identifies the content of the files that are in the folder, whether they serve or not.
	NewestRevision string `json:"newestRevision,omitempty"`
	// roles are those in which the plugin is asked: authenticate, authorize, admit.
	// +listType=atomic
	Roles []string `json:"roles,omitempty"`
	// abi is how the server speaks with the module: gatehouse_abi_v1, waPC, WASI or Rego.
	ABI string `json:"abi,omitempty"`
	// language is what the module's compilers say of it.
	Language string `json:"language,omitempty"`
	// wants are capabilities that the module's author would like and the configuration does not grant, each by the key that would.
	// +listType=atomic
	Wants []string `json:"wants,omitempty"`
	// limits bound each instance.
	Limits *PluginLimits `json:"limits,omitempty"`
	// usage is what the plugin takes now.
	Usage PluginUsage `json:"usage"`
	// quarantines say what the plugin is not asked about for now because it has failed too often.
	// +listType=atomic
	Quarantines []PluginQuarantine `json:"quarantines,omitempty"`
	// lastErrors are the last calls that the plugin could not decide, the newest first, of all of its revisions.
	// +listType=atomic
	LastErrors []PluginError `json:"lastErrors,omitempty"`
	// calls is how often the plugin was called since it came into the folder, or the server was started.
	Calls int64 `json:"calls"`
	// denials are calls in which the plugin denied the request, or found credentials wrong.
	Denials int64 `json:"denials"`
	// errors are calls in which the plugin could not decide.
	Errors int64 `json:"errors"`
	// p99 is the time that 99 of 100 calls did not take longer than, of the role where it is longest.
	P99 *metav1.Duration `json:"p99,omitempty"`
	// callsByRole is the same for each role that the plugin has been called in.
	// +listType=map
	// +listMapKey=role
	CallsByRole []RoleCalls `json:"callsByRole,omitempty"`
}

// PluginError is a call that a plugin could not decide.
type PluginError struct {
	// time is when it was.
	Time metav1.Time `json:"time"`
	// role is the one in which the plugin was asked.
	Role string `json:"role"`
	// kind says in a word how it failed, such as trapped or overdue.
	Kind string `json:"kind"`
	// cause says it in a line.
	Cause string `json:"cause"`
	// revision is the one that failed.
	Revision string `json:"revision,omitempty"`
}

// PluginQuarantine is what a plugin is not asked about for now; its failurePolicy answers at once.
type PluginQuarantine struct {
	// role is the one in which it is not asked.
	Role string `json:"role"`
	// about says whose requests it is not asked about; everybody's when empty.
	About string `json:"about,omitempty"`
	// since is when it began.
	Since metav1.Time `json:"since"`
	// until is when it is tried again.
	Until metav1.Time `json:"until"`
	// failures counts those in a row.
	Failures int32 `json:"failures"`
	// lastError is the newest of them.
	LastError PluginError `json:"lastError"`
}

// RoleCalls is what became of a plugin's calls in one role.
type RoleCalls struct {
	// role is authenticate, authorize or admit.
	Role string `json:"role"`
	// calls is how many there were.
	Calls int64 `json:"calls"`
	// allowed is how many let the request pass, or somebody in.
	Allowed int64 `json:"allowed"`
	// denied is how many denied the request, or found credentials wrong.
	Denied int64 `json:"denied"`
	// noOpinion is in how many the plugin left the decision to others.
	NoOpinion int64 `json:"noOpinion"`
	// failed is in how many the plugin could not decide, and the request was denied.
	Failed int64 `json:"failed"`
	// ignored is in how many the plugin could not decide, and the request went on.
	Ignored int64 `json:"ignored"`
	// p50 is the time that half of the calls did not take longer than. It is at most an eighth too long.
	P50 metav1.Duration `json:"p50"`
	// p99 is the time that 99 of 100 calls did not take longer than. It is at most an eighth too long.
	P99 metav1.Duration `json:"p99"`
}

// PluginLimits bound one instance of a plugin.
type PluginLimits struct {
	// memory is the most linear memory that it may have.
	Memory resource.Quantity `json:"memory"`
	// output is the longest answer that it may give.
	Output resource.Quantity `json:"output"`
	// deadline is how long a call may take.
	Deadline metav1.Duration `json:"deadline"`
	// start is how long it may take to start.
	Start metav1.Duration `json:"start"`
	// instances is how many of them there may be.
	Instances int32 `json:"instances"`
}

// PluginUsage is what a plugin takes.
type PluginUsage struct {
	// instances is how many there are.
	Instances int32 `json:"instances"`
	// busy is how many of them are at work.
	Busy int32 `json:"busy"`
	// memory is the linear memory that they have together.
	Memory resource.Quantity `json:"memory"`
}

// +k8s:conversion-gen:explicit-from=net/url.Values
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// PluginReviewOptions say what of a plugin's reviews is to be recorded.
type PluginReviewOptions struct {
	metav1.TypeMeta `json:",inline"`
	// credentials asks for reviews as they are; otherwise what is secret in them is replaced. It takes the permission to get
	// plugins/credentials as well.
	Credentials bool `json:"credentials,omitempty"`
	// count is after how many reviews the recording ends; 100 when left out.
	Count int64 `json:"count,omitempty"`
	// timeoutSeconds is after how long it ends; 60 when left out.
	TimeoutSeconds int64 `json:"timeoutSeconds,omitempty"`
}
