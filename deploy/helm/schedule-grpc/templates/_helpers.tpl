{{/* The name of everything that the chart makes: the release's, which names the chart if it does not already. */}}
{{- define "schedule-grpc.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that select the servers of this release; they never change. */}}
{{- define "schedule-grpc.selector" -}}
app.kubernetes.io/name: schedule-grpc
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "schedule-grpc.labels" -}}
{{ include "schedule-grpc.selector" . }}
app.kubernetes.io/part-of: schedule-grpc
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "schedule-grpc.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "schedule-grpc.databaseEnv" -}}
- name: SCHEDULE_DATABASE
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.secretName }}
      key: {{ .Values.database.key }}
{{- end -}}

{{/* What a container may do: nothing that a server does not need. */}}
{{- define "schedule-grpc.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The names by which callers reach the service over HTTP. */}}
{{- define "schedule-grpc.hosts" -}}
{{- $name := include "schedule-grpc.name" . -}}
{{- $here := printf "%s.%s" $name .Release.Namespace -}}
{{- concat (list $name $here (printf "%s.svc" $here) (printf "%s.svc.cluster.local" $here)) .Values.allowedHosts | toJson -}}
{{- end -}}
