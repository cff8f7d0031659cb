package main

import (
	"context"
	"fmt"
)

// podsPath is where the benchmark's pods are.
const podsPath = "/api/v1/namespaces/default/pods"

// pod is one as users write them, of about 1 KB; it wants a name.
const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,
"labels":{"app":"web","tier":"front"},"annotations":{"example.org/note":"created by a benchmark"}},
"spec":{"containers":[{"name":"web","image":"nginx:1.27","ports":[{"containerPort":80}],
"env":[{"name":"LEVEL","value":"info"},{"name":"REGION","value":"eu"}],
"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"memory":"128Mi"}},
"readinessProbe":{"httpGet":{"path":"/ready","port":80}},"volumeMounts":[{"name":"data","mountPath":"/data"}]}],
"volumes":[{"name":"data","emptyDir":{}}],"tolerations":[{"key":"edge","operator":"Exists"}]}}`

// podName is that of a client's pod. Each client makes its first one.
func podName(number, request int) string { return fmt.Sprintf("pod-%d-%d", number, request) }

func createPod(ctx context.Context, c *client, number, request int) error {
	return c.post(ctx, podsPath, fmt.Sprintf(pod, podName(number, request)))
}

func getPod(ctx context.Context, c *client, number, _ int) error {
	return c.get(ctx, podsPath+"/"+podName(number, 0))
}
