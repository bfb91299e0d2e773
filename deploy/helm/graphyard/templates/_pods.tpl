{{/* What all of our pods have in common. */}}

{{- define "graphyard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "graphyard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "graphyard.placed" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "graphyard.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Settings of all processes, then where the records are, then Temporal: lists of variables. */}}
{{- define "graphyard.commonEnv" -}}
- {name: GRAPHYARD_SEALING_KEYS, value: /etc/graphyard/sealing/{{ .Values.sealing.key }}}
{{- with .Values.settings }}
- {name: GRAPHYARD_FLAVOUR, value: {{ .flavour | quote }}}
- {name: GRAPHYARD_SWEEP_SECONDS, value: {{ .sweepSeconds | quote }}}
- {name: GRAPHYARD_STUCK_SECONDS, value: {{ .stuckSeconds | quote }}}
- {name: GRAPHYARD_ORPHAN_SECONDS, value: {{ .orphanSeconds | quote }}}
- {name: GRAPHYARD_PROGRESS_SECONDS, value: {{ .progressSeconds | quote }}}
- {name: GRAPHYARD_DRAIN_SECONDS, value: {{ .drainSeconds | quote }}}
- {name: GRAPHYARD_PRIVILEGED_PODS, value: {{ .privilegedPods | quote }}}
- {name: GRAPHYARD_LOG_LEVEL, value: {{ .logLevel | quote }}}
{{- range $name, $value := .env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "graphyard.databaseEnv" -}}
- name: GRAPHYARD_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret | default (include "graphyard.postgresSecret" .) }}
      key: {{ ternary .Values.database.key "url" (ne .Values.database.existingSecret "") }}
{{- end }}

{{- define "graphyard.temporalEnv" -}}
{{- $own := printf "%s-temporal.%s.svc:7233" (include "graphyard.fullname" .) .Release.Namespace -}}
{{- with .Values.temporal -}}
- {name: GRAPHYARD_TEMPORAL_ADDRESS, value: {{ .address | default $own | quote }}}
- {name: GRAPHYARD_TEMPORAL_NAMESPACE, value: {{ .namespace | quote }}}
{{- if .tls.enabled }}
- {name: GRAPHYARD_TEMPORAL_TLS, value: "true"}
{{- end }}
{{- with .tls.serverName }}
- {name: GRAPHYARD_TEMPORAL_TLS_SERVER_NAME, value: {{ . | quote }}}
{{- end }}
{{- if .tls.existingSecret }}
{{- range $name, $key := dict "CA" .tls.caKey "CERT" .tls.certKey "KEY" .tls.keyKey }}
{{- if $key }}
- {name: GRAPHYARD_TEMPORAL_TLS_{{ $name }}, value: /etc/graphyard/temporal/{{ $key }}}
{{- end }}
{{- end }}
{{- end }}
{{- if .apiKey.existingSecret }}
- name: GRAPHYARD_TEMPORAL_API_KEY
  valueFrom:
    secretKeyRef: {name: {{ .apiKey.existingSecret }}, key: {{ .apiKey.key }}}
{{- end }}
{{- end }}
{{- end }}

{{/* What api and control worker must know of where callers come and of the planes. */}}
{{- define "graphyard.planesEnv" -}}
{{- $kinds := dict -}}
{{- range .Values.planes -}}
{{- $_ := set $kinds .name "kubernetes" -}}
{{- end -}}
- {name: GRAPHYARD_PUBLIC_URL, value: {{ .Values.publicUrl | trimSuffix "/" | quote }}}
- {name: GRAPHYARD_PLANE, value: {{ (first .Values.planes).name | quote }}}
- {name: GRAPHYARD_PLANE_KIND, value: kubernetes}
- {name: GRAPHYARD_PLANES, value: {{ toJson $kinds | quote }}}
- {name: GRAPHYARD_PLANE_URLS, value: {{ include "graphyard.planeUrls" . | quote }}}
{{- end }}

{{- define "graphyard.planeUrls" -}}
{{- $urls := dict -}}
{{- range .Values.planes -}}
{{- $url := .url | default $.Values.planeDefaults.url -}}
{{- if $url }}{{ $_ := set $urls .name $url }}{{ end -}}
{{- end -}}
{{- toJson $urls -}}
{{- end }}

{{- define "graphyard.mounts" -}}
- {name: home, mountPath: /home/graphyard}
- {name: tmp, mountPath: /tmp}
- {name: sealing, mountPath: /etc/graphyard/sealing, readOnly: true}
{{- if .Values.temporal.tls.existingSecret }}
- {name: temporal, mountPath: /etc/graphyard/temporal, readOnly: true}
{{- end }}
{{- end }}

{{- define "graphyard.volumes" -}}
- {name: home, emptyDir: {}}
- {name: tmp, emptyDir: {}}
- name: sealing
  secret: {secretName: {{ include "graphyard.sealingSecret" . }}, defaultMode: 0440}
{{- with .Values.temporal.tls.existingSecret }}
- name: temporal
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* A worker says on a port of its own whether it works. */}}
{{- define "graphyard.workerProbes" -}}
ports:
  - {name: health, containerPort: 8080, protocol: TCP}
startupProbe:
  httpGet: {path: /live, port: health}
  periodSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /ready, port: health}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /live, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}
