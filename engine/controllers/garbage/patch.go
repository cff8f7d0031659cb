package garbage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/utils/ptr"
)

func sameReference(a, b metav1.OwnerReference) bool {
	return a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name && a.UID == b.UID &&
		ptr.Equal(a.Controller, b.Controller) && ptr.Equal(a.BlockOwnerDeletion, b.BlockOwnerDeletion)
}

// metadataPatch is a patch of metadata.
type metadataPatch struct {
	Metadata any `json:"metadata"`
}

// ownersPatch replaces all owners of what is at a version.
type ownersPatch struct {
	ResourceVersion string                  `json:"resourceVersion"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
}

// disown takes the references to owners away from an object.
func (c *Collector) disown(ctx context.Context, o object, owners []types.UID) error {
	if len(owners) == 0 {
		return nil
	}
	strategic, err := controller.GenerateDeleteOwnerRefStrategicMergeBytes(o.uid, owners)
	if err != nil {
		return fmt.Errorf("take %v from the owners of %s: %w", owners, o, err)
	}
	return c.patchOwners(ctx, o, strategic, func(references []metav1.OwnerReference) []metav1.OwnerReference {
		return slices.DeleteFunc(references, func(r metav1.OwnerReference) bool { return slices.Contains(owners, r.UID) })
	})
}

// unblock has an object keep none of its owners from going.
func (c *Collector) unblock(ctx context.Context, o object, now links) error {
	var changed []metav1.OwnerReference
	for _, reference := range now.owners {
		if blocking(&reference) {
			reference.BlockOwnerDeletion = ptr.To(false)
			changed = append(changed, reference)
		}
	}
	strategic, err := json.Marshal(metadataPatch{struct {
		UID             types.UID               `json:"uid"`
		OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
	}{o.uid, changed}})
	if err != nil {
		return fmt.Errorf("have %s block no owner: %w", o, err)
	}
	return c.patchOwners(ctx, o, strategic, func(references []metav1.OwnerReference) []metav1.OwnerReference {
		for i := range references {
			references[i].BlockOwnerDeletion = ptr.To(false)
		}
		return references
	})
}

// patchOwners changes references by a strategic merge patch or, where the kind takes none, by what change makes of them.
func (c *Collector) patchOwners(
	ctx context.Context, o object, strategic []byte, change func([]metav1.OwnerReference) []metav1.OwnerReference,
) error {
	client, name := c.resource(o)
	_, err := client.Patch(ctx, name, types.StrategicMergePatchType, strategic, metav1.PatchOptions{})
	if apierrors.IsUnsupportedMediaType(err) {
		now, revision, found, stateErr := c.index.state(ctx, o)
		if stateErr != nil || !found {
			return stateErr
		}
		patch, encodeErr := json.Marshal(metadataPatch{ownersPatch{strconv.FormatInt(revision, 10), change(now.owners)}})
		if encodeErr != nil {
			return fmt.Errorf("change the owners of %s: %w", o, encodeErr)
		}
		_, err = client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		return fmt.Errorf("change the owners of %s: %w", o, err)
	}
	return nil
}

// removeFinalizer takes a finalizer away, if it is there.
func (c *Collector) removeFinalizer(ctx context.Context, o object, finalizer string) error {
	client, name := c.resource(o)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, revision, found, err := c.index.state(ctx, o)
		if err != nil || !found || !slices.Contains(now.finalizers, finalizer) {
			return err
		}
		patch, err := json.Marshal(metadataPatch{struct {
			ResourceVersion string   `json:"resourceVersion"`
			Finalizers      []string `json:"finalizers"`
		}{
			strconv.FormatInt(revision, 10), slices.DeleteFunc(now.finalizers, func(f string) bool { return f == finalizer }),
		}})
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove finalizer %s from %s: %w", finalizer, o, err)
	}
	return nil
}
