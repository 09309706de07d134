{{- define "holdall.fullname" -}}
{{- if contains "holdall" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-holdall" (.Release.Name | trunc 42 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "holdall.caSecret" -}}{{ .Values.ca.secret | default (printf "%s-ca" (include "holdall.fullname" .)) }}{{- end -}}
{{- define "holdall.caConfigMap" -}}{{ .Values.ca.configMap | default (printf "%s-ca" (include "holdall.fullname" .)) }}{{- end -}}
{{- define "holdall.stateConfigMap" -}}{{ include "holdall.fullname" . }}-state{{- end -}}
{{- define "holdall.image" -}}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{- end -}}
{{- define "holdall.socketDir" -}}{{ .Values.kubeletDir }}/plugins/{{ .Values.driverName }}{{- end -}}

{{- define "holdall.controllerAddress" -}}
{{- .Values.controller.address | default (printf "%s-controller.%s.svc:%d" (include "holdall.fullname" .) .Release.Namespace (int .Values.controller.enrolmentPort)) -}}
{{- end -}}

{{- /* What selects pods: never changes between versions of the chart. */ -}}
{{- define "holdall.selector" -}}
app.kubernetes.io/name: holdall
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "holdall.labels" -}}
{{ include "holdall.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: holdall
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
