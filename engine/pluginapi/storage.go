package pluginapi

import (
	"context"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/rest"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/pluginapi/v1alpha1"
)

// storage serves plugins to be read and watched. What it hands out is the caller's.
type storage struct{ board *board }

var (
	_ rest.Storage              = (*storage)(nil)
	_ rest.Scoper               = (*storage)(nil)
	_ rest.SingularNameProvider = (*storage)(nil)
	_ rest.Getter               = (*storage)(nil)
	_ rest.Lister               = (*storage)(nil)
	_ rest.Watcher              = (*storage)(nil)
)

// New implements rest.Storage.
func (s *storage) New() runtime.Object { return &v1alpha1.Plugin{} }

// Destroy implements rest.Storage.
func (s *storage) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (s *storage) NamespaceScoped() bool { return false }

// GetSingularName implements rest.SingularNameProvider.
func (s *storage) GetSingularName() string { return "plugin" }

// NewList implements rest.Lister.
func (s *storage) NewList() runtime.Object { return &v1alpha1.PluginList{} }

func groupResource() schema.GroupResource {
	return v1alpha1.SchemeGroupVersion.WithResource("plugins").GroupResource()
}

// Get implements rest.Getter. Every answer is the newest, so that options ask for nothing more.
func (s *storage) Get(_ context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	if options != nil {
		if _, err := s.newEnough(options.ResourceVersion); err != nil {
			return nil, err
		}
	}
	plugin := s.board.one(name)
	if plugin == nil {
		return nil, apierrors.NewNotFound(groupResource(), name)
	}
	return plugin.DeepCopy(), nil
}

// newEnough refuses a resourceVersion that has not been yet, and returns it as a number, zero for none in particular.
func (s *storage) newEnough(resourceVersion string) (uint64, error) {
	wanted, err := apistorage.APIObjectVersioner{}.ParseResourceVersion(resourceVersion)
	if err != nil {
		return 0, apierrors.NewBadRequest(err.Error())
	}
	const retrySeconds = 1
	if _, revision := s.board.bounds(); wanted > revision {
		return 0, apistorage.NewTooLargeResourceVersionError(wanted, revision, retrySeconds)
	}
	return wanted, nil
}

// List implements rest.Lister. All plugins come at once, whatever limit is asked for: there are few.
func (s *storage) List(_ context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	wanted, err := s.newEnough(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	selected := selectionOf(options)
	all, revision := s.board.all()
	if options.ResourceVersionMatch == metav1.ResourceVersionMatchExact && wanted != revision {
		return nil, apierrors.NewResourceExpired("the plugins of that resourceVersion are not known any more: ask without one")
	}
	list := &v1alpha1.PluginList{Items: []v1alpha1.Plugin{}}
	list.ResourceVersion = strconv.FormatUint(revision, 10)
	for _, plugin := range all {
		if selected.has(plugin) {
			list.Items = append(list.Items, *plugin.DeepCopy())
		}
	}
	return list, nil
}

// selection is what a client wants to see.
type selection struct {
	labels labels.Selector
	fields fields.Selector
}

func selectionOf(options *metainternalversion.ListOptions) selection {
	s := selection{labels.Everything(), fields.Everything()}
	if options.LabelSelector != nil {
		s.labels = options.LabelSelector
	}
	if options.FieldSelector != nil {
		s.fields = options.FieldSelector
	}
	return s
}

// has reports whether a plugin is selected. What it goes by never changes.
func (s selection) has(plugin *v1alpha1.Plugin) bool {
	return s.labels.Matches(labels.Set(plugin.Labels)) && s.fields.Matches(fields.Set{"metadata.name": plugin.Name})
}

// Watch implements rest.Watcher.
func (s *storage) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	position, err := s.newEnough(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	w := &watcher{
		board: s.board, selected: selectionOf(options), position: position,
		bookmarks: options.AllowWatchBookmarks,
		results:   make(chan watch.Event),
	}
	switch initial := options.SendInitialEvents; {
	case initial != nil && *initial:
		w.initial, w.marked = true, options.AllowWatchBookmarks
	case initial == nil:
		w.initial = position == 0
	case position == 0:
		_, w.position = s.board.bounds()
	}
	ctx, w.cancel = context.WithCancel(ctx)
	go w.run(ctx)
	return w, nil
}
