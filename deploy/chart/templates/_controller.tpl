{{- define "holdall.controller.config" -}}
{{- $v := .Values -}}
driver_name = {{ $v.driverName | toJson }}
log_level = {{ $v.logLevel | toJson }}
state_dir = "/var/lib/holdall/state"
endpoint = "unix:///run/holdall/csi.sock"
metrics_address = ":{{ int $v.controller.metricsPort }}"

[kubernetes]
namespace = {{ .Release.Namespace | toJson }}
node_selector = "app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=node"
node_port = {{ int $v.node.port }}
node_account = "{{ include "holdall.fullname" . }}-node"
enrolment_address = ":{{ int $v.controller.enrolmentPort }}"
ca_secret = {{ include "holdall.caSecret" . | toJson }}
ca_config_map = {{ include "holdall.caConfigMap" . | toJson }}
state_config_map = {{ include "holdall.stateConfigMap" . | toJson }}
{{ end -}}

{{- /* Who this pod is: leases carry its name, and the capacity objects' owner is found from it. */ -}}
{{- define "holdall.controller.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- with .Values.controller.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "holdall.sidecar.args" -}}
{{- $s := .Values.sidecars -}}
- --v={{ int $s.logVerbosity }}
- --csi-address=/run/holdall/csi.sock
- --kube-api-qps={{ int $s.kubeApiQps }}
- --kube-api-burst={{ int $s.kubeApiBurst }}
- --leader-election
- --leader-election-namespace=$(NAMESPACE)
- --leader-election-lease-duration={{ $s.leaderElection.leaseDuration }}
- --leader-election-renew-deadline={{ $s.leaderElection.renewDeadline }}
- --leader-election-retry-period={{ $s.leaderElection.retryPeriod }}
{{- end -}}
