package garbage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

// unknownKindError tells of a reference to a kind that is not served.
type unknownKindError struct {
	reference metav1.OwnerReference
}

// Error implements error.
func (e *unknownKindError) Error() string {
	return fmt.Sprintf("no kind %s is served in %s, of which an owner is to be: remove the reference to it if it will not be again",
		e.reference.Kind, e.reference.APIVersion)
}

// errNamespacedOwner tells of an object in no namespace that refers to an owner of a kind that is always in one. Nobody knows where
// the owner would be, and so the object stays, whatever becomes of its other owners.
var errNamespacedOwner = errors.New("an object in no namespace cannot have an owner in one")

// judge deletes an object if all its owners are gone, or takes those references away that are void. An owner that waits for its
// dependents is let go if they are gone, and otherwise they are judged. It is upstream's attemptToDeleteItem.
func (c *Collector) judge(ctx context.Context, o object) error {
	now, revision, found, err := c.index.state(ctx, o)
	switch {
	case err != nil || !found:
		return err
	case now.waitsForDependents():
		return c.letGo(ctx, o)
	case now.deleting || len(now.owners) == 0:
		return nil // it is on its way, or nobody's
	}
	solid, void, waiting, err := c.classify(ctx, o, now.owners)
	switch {
	case errors.Is(err, errNamespacedOwner):
		return nil
	case err != nil:
		return err
	case len(solid) > 0:
		// References to owners that wait have to go as well: the owners would wait for ever.
		return c.disown(ctx, o, append(void, waiting...))
	}
	if len(waiting) > 0 {
		dependents, err := c.index.dependentsOf(ctx, o.uid)
		if err != nil {
			return err
		}
		if len(dependents) > 0 {
			return c.deleteForeground(ctx, o, now, revision, dependents)
		}
	}
	return c.delete(ctx, o, now, revision, propagation(now))
}

// propagation honours how an object was to be deleted when somebody asked for that.
func propagation(l links) metav1.DeletionPropagation {
	switch {
	case slices.Contains(l.finalizers, metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case slices.Contains(l.finalizers, metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	default:
		return metav1.DeletePropagationBackground
	}
}

// classify sorts references: to owners that are there to stay, to owners that are not there, and to owners that wait for their
// dependents to go.
func (c *Collector) classify(ctx context.Context, o object, references []metav1.OwnerReference) (solid, void, waiting []types.UID, err error) {
	namespace, _ := o.kind.name(o.key)
	for _, reference := range references {
		k := c.index.find(reference.APIVersion, reference.Kind)
		switch {
		case k == nil:
			return nil, nil, nil, &unknownKindError{reference}
		case k.Namespaced && namespace == "":
			return nil, nil, nil, errNamespacedOwner
		}
		owner, _, found, err := c.index.state(ctx, object{k, k.key(namespace, reference.Name), reference.UID})
		switch {
		case err != nil:
			return nil, nil, nil, err
		case !found:
			void = append(void, reference.UID)
		case owner.waitsForDependents():
			waiting = append(waiting, reference.UID)
		default:
			solid = append(solid, reference.UID)
		}
	}
	return solid, void, waiting, nil
}

// deleteForeground deletes an object whose owner waits for it and that has dependents itself. Should one of those wait as well, they may
// wait for each other in a circle: then the object does not keep its owners from going any longer.
func (c *Collector) deleteForeground(ctx context.Context, o object, now links, revision int64, dependents []dependent) error {
	if slices.ContainsFunc(dependents, func(d dependent) bool { return d.waitsForDependents() }) {
		if err := c.unblock(ctx, o, now); err != nil {
			return err
		}
		var found bool
		var err error
		if now, revision, found, err = c.index.state(ctx, o); err != nil || !found {
			return err
		}
	}
	return c.delete(ctx, o, now, revision, metav1.DeletePropagationForeground)
}

// letGo takes the finalizer from an owner that nothing blocks any more, or has what blocks it judged.
func (c *Collector) letGo(ctx context.Context, o object) error {
	blockers, err := c.blockers(ctx, o)
	if err != nil {
		return err
	}
	moving := false
	for _, d := range blockers {
		if !d.waitsForDependents() {
			moving = true
			c.toJudge.Add(d.object)
		}
	}
	if len(blockers) > 0 {
		if moving {
			return nil
		}
		if circle, err := c.inCircle(ctx, o, blockers); err != nil || !circle {
			return err
		}
	}
	return c.removeFinalizer(ctx, o, metav1.FinalizerDeleteDependents)
}

// blockers are the dependents that keep an owner from going before them.
func (c *Collector) blockers(ctx context.Context, o object) ([]dependent, error) {
	dependents, err := c.index.dependentsOf(ctx, o.uid)
	return slices.DeleteFunc(dependents, func(d dependent) bool { return !d.blocks(o.uid) }), err
}

// mostInCircle bounds how far a circle is followed.
const mostInCircle = 1000

// inCircle says that an owner waits for itself, be it through others, and that all that it waits for wait in the same way: then one
// of them has to go first. Upstream leaves them all waiting for ever.
func (c *Collector) inCircle(ctx context.Context, o object, blockers []dependent) (bool, error) {
	seen := map[types.UID]bool{}
	circle := false
	for next := blockers; len(next) > 0 && len(seen) < mostInCircle; {
		d := next[0]
		next = next[1:]
		switch {
		case !d.waitsForDependents():
			return false, nil
		case d.object.uid == o.uid:
			circle = true
		case !seen[d.object.uid]:
			seen[d.object.uid] = true
			more, err := c.blockers(ctx, d.object)
			if err != nil {
				return false, err
			}
			next = append(next, more...)
		}
	}
	return circle && len(seen) < mostInCircle, nil
}

// orphan takes an owner away from its dependents, and lets it go. It is upstream's attemptToOrphanWorker.
func (c *Collector) orphan(ctx context.Context, owner object) error {
	dependents, err := c.index.dependentsOf(ctx, owner.uid)
	if err != nil {
		return err
	}
	failures := make([]error, len(dependents))
	places := make(chan struct{}, orphanedTogether)
	var running sync.WaitGroup
	for i, d := range dependents {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			if err := c.disown(ctx, d.object, []types.UID{owner.uid}); err != nil && !apierrors.IsNotFound(err) {
				failures[i] = fmt.Errorf("orphan %s: %w", d.object, err)
			}
		})
	}
	running.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return c.removeFinalizer(ctx, owner, metav1.FinalizerOrphanDependents)
}

// resource is the client for an object, and its name.
func (c *Collector) resource(o object) (metadata.ResourceInterface, string) {
	namespace, name := o.kind.name(o.key)
	resources := c.config.Metadata.Resource(o.kind.Resource)
	if o.kind.Namespaced {
		return resources.Namespace(namespace), name
	}
	return resources, name
}

// delete deletes an object as it was at a revision. One that changes all the time, but not its owners, is deleted all the same.
func (c *Collector) delete(ctx context.Context, o object, l links, revision int64, policy metav1.DeletionPropagation) error {
	client, name := c.resource(o)
	version := strconv.FormatInt(revision, 10)
	conditions := &metav1.Preconditions{UID: &o.uid, ResourceVersion: &version}
	err := client.Delete(ctx, name, metav1.DeleteOptions{Preconditions: conditions, PropagationPolicy: &policy})
	if apierrors.IsConflict(err) {
		now, _, found, stateErr := c.index.state(ctx, o)
		switch {
		case stateErr != nil:
			return stateErr
		case !found:
			return nil
		case slices.EqualFunc(now.owners, l.owners, sameReference):
			conditions = &metav1.Preconditions{UID: &o.uid}
			err = client.Delete(ctx, name, metav1.DeleteOptions{Preconditions: conditions, PropagationPolicy: &policy})
		}
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", o, err)
	}
	return nil
}
