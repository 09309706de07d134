{{- /* The configuration of the nodes of one group. Takes a dict of root, pools, defaultPool. */ -}}
{{- define "holdall.node.config" -}}
{{- $v := .root.Values -}}
driver_name = {{ $v.driverName | toJson }}
log_level = {{ $v.logLevel | toJson }}
state_dir = {{ $v.stateDir | toJson }}
endpoint = "unix:///run/holdall/csi.sock"
kubelet_endpoint = {{ printf "unix://%s/csi.sock" (include "holdall.socketDir" .root) | toJson }}
registration_dir = {{ printf "%s/plugins_registry" $v.kubeletDir | toJson }}
controller_endpoint = "tcp://0.0.0.0:{{ int $v.node.port }}"
metrics_address = ":{{ int $v.node.metricsPort }}"
max_volumes_per_node = {{ int $v.node.maxVolumes }}

[enrolment]
controller = {{ include "holdall.controllerAddress" .root | toJson }}
ca = "/etc/holdall/ca/ca.crt"
token = "/var/run/secrets/holdall/token"
{{- with .defaultPool }}

[default_pool]
{{- include "holdall.toml.table" . }}
{{- end }}
{{- range .pools }}

[[pool]]
{{- include "holdall.toml.table" . }}
{{- end }}
{{ end -}}

{{- /* Directories of the host that the pools of one group need, once each; those in the state directory are there already. */ -}}
{{- define "holdall.node.paths" -}}
{{- $paths := list -}}
{{- range .pools -}}
{{- if .path -}}{{- $paths = append $paths (clean .path) -}}{{- end -}}
{{- if .image -}}{{- $paths = append $paths (dir .image) -}}{{- end -}}
{{- end -}}
{{- range .hostPaths -}}{{- $paths = append $paths (clean .) -}}{{- end -}}
{{- $state := printf "%s/" .root.Values.stateDir -}}
{{- range (uniq $paths) -}}
{{- if not (hasPrefix $state (printf "%s/" .)) -}}{{ . }}{{ "\n" }}{{- end -}}
{{- end -}}
{{- end -}}
