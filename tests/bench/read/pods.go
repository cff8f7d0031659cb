package main

// podTemplate is a pod as deployments make them, with what a kubelet reports of it. It wants a number for the name, one for the app,
// one for the uid, and one for the node.
const podTemplate = `{
"kind":"Pod","apiVersion":"v1",
"metadata":{"name":"pod-%05d","generateName":"app-6c5d8f7b9c-","namespace":"bench",
 "uid":"3f2504e0-4f89-11d3-9a0c-%[3]012d","creationTimestamp":"2026-03-01T10:00:00Z",
 "labels":{"app":"app-%[2]d","pod-template-hash":"6c5d8f7b9c","app.kubernetes.io/part-of":"shop","app.kubernetes.io/managed-by":"Helm"},
 "annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"9090","checksum/config":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
 "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"app-6c5d8f7b9c","uid":"7d444840-9dc0-11d1-b245-5ffdce74fad2","controller":true,"blockOwnerDeletion":true}],
 "managedFields":[
  {"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-03-01T10:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{},"f:prometheus.io/port":{},"f:prometheus.io/scrape":{}},"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"7d444840-9dc0-11d1-b245-5ffdce74fad2\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"LOG_LEVEL\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{".":{},"f:limits":{},"f:requests":{}}}},"f:dnsPolicy":{},"f:restartPolicy":{}}}},
  {"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-03-01T10:00:05Z","subresource":"status","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":{".":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:phase":{},"f:podIP":{},"f:startTime":{}}}}]},
"spec":{"volumes":[{"name":"config","configMap":{"name":"app-config","defaultMode":420}},
  {"name":"kube-api-access","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}}],"defaultMode":420}}],
 "containers":[{"name":"app","image":"registry.example/shop/app:1.27.3","command":["/app","--config=/etc/app/config.yaml"],
  "ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[{"name":"LOG_LEVEL","value":"info"},{"name":"REGION","value":"eu-central"}],
  "resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},
  "volumeMounts":[{"name":"config","mountPath":"/etc/app"},{"name":"kube-api-access","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],
  "livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},
  "terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}],
 "restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","serviceAccount":"default",
 "nodeName":"node-%[4]d","securityContext":{},"schedulerName":"default-scheduler",
 "tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],
 "priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"},
"status":{"phase":"Running","conditions":[
  {"type":"Initialized","status":"True","lastTransitionTime":"2026-03-01T10:00:01Z"},{"type":"Ready","status":"True","lastTransitionTime":"2026-03-01T10:00:05Z"},
  {"type":"ContainersReady","status":"True","lastTransitionTime":"2026-03-01T10:00:05Z"},{"type":"PodScheduled","status":"True","lastTransitionTime":"2026-03-01T10:00:00Z"}],
 "hostIP":"10.1.0.7","podIP":"10.2.7.31","podIPs":[{"ip":"10.2.7.31"}],"startTime":"2026-03-01T10:00:01Z",
 "containerStatuses":[{"name":"app","state":{"running":{"startedAt":"2026-03-01T10:00:04Z"}},"lastState":{},"ready":true,"restartCount":0,
  "image":"registry.example/shop/app:1.27.3","imageID":"registry.example/shop/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  "containerID":"containerd://9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","started":true}],"qosClass":"Burstable"}}`
