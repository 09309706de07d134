{{- /* One `key = value` a line for the scalars and lists of a map. Numbers come from YAML as floats; a whole one is written
       as an integer, since sizes and counts are. JSON's strings are TOML's. */ -}}
{{- define "holdall.toml.value" -}}
{{- if kindIs "string" . -}}{{ . | toJson }}
{{- else if kindIs "bool" . -}}{{ . }}
{{- else if kindIs "slice" . -}}[{{ range $i, $one := . }}{{ if $i }}, {{ end }}{{ include "holdall.toml.value" $one }}{{ end }}]
{{- else if eq (floor .) (float64 .) -}}{{ int64 . }}
{{- else -}}{{ . }}
{{- end -}}
{{- end -}}

{{- define "holdall.toml.table" -}}
{{- range $key, $value := . }}
{{ $key }} = {{ include "holdall.toml.value" $value }}
{{- end }}
{{- end -}}
