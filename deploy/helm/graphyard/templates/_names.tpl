{{/* Names and labels, one definition each. */}}
{{- define "graphyard.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Of every object. Not `managed-by: graphyard`: that is what planes find their own things by. */}}
{{- define "graphyard.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: graphyard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: graphyard
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* What pods of one component are found by: (list $ "api"). */}}
{{- define "graphyard.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: graphyard
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "graphyard.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{/* A plane's entry over what all planes have: (list $ entry), as YAML. */}}
{{- define "graphyard.plane" -}}
{{- $top := index . 0 -}}
{{- toYaml (mergeOverwrite (deepCopy $top.Values.planeDefaults) (index . 1)) -}}
{{- end }}

{{- define "graphyard.planeName" -}}
{{- printf "%s-plane-%s" (include "graphyard.fullname" (index . 0)) (index . 1).name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* Names of Secrets: somebody else's, or ours. */}}
{{- define "graphyard.sealingSecret" -}}
{{- .Values.sealing.existingSecret | default (printf "%s-sealing" (include "graphyard.fullname" .)) -}}
{{- end }}
{{- define "graphyard.bootstrapSecret" -}}
{{- .Values.bootstrap.existingSecret | default (printf "%s-bootstrap" (include "graphyard.fullname" .)) -}}
{{- end }}
{{- define "graphyard.tokensSecret" -}}
{{- .Values.planeTokens.existingSecret | default (printf "%s-planes" (include "graphyard.fullname" .)) -}}
{{- end }}
{{- define "graphyard.postgresSecret" -}}
{{ include "graphyard.fullname" . }}-postgres
{{- end }}

{{/* A value of a Secret that is there already, or one that is made now: (list $ secret key new). */}}
{{- define "graphyard.kept" -}}
{{- $top := index . 0 -}}
{{- $found := lookup "v1" "Secret" $top.Release.Namespace (index . 1) -}}
{{- $kept := dig "data" (index . 2) "" ($found | default dict) -}}
{{- ternary (b64dec $kept) (index . 3) (ne $kept "") -}}
{{- end }}

{{/* The host of the public URL, empty where it is an address or has no dot to speak of: Ingresses take names only. */}}
{{- define "graphyard.publicHost" -}}
{{- $host := (urlParse .Values.publicUrl).hostname -}}
{{- if not (regexMatch "^([0-9.]+|.*:.*)$" $host) }}{{ $host }}{{ end -}}
{{- end }}

{{- define "graphyard.pdbVersion" -}}
{{- if semverCompare ">=1.21-0" .Capabilities.KubeVersion.Version }}policy/v1{{ else }}policy/v1beta1{{ end -}}
{{- end }}
