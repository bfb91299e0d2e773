{{/* What one plane's worker reads: (list $ plane), the plane with its defaults filled in. */}}
{{- define "graphyard.planeEnv" -}}
{{- $top := index . 0 -}}
{{- $name := (index . 1).name -}}
{{- $api := printf "http://%s-internal.%s.svc" (include "graphyard.fullname" $top) $top.Release.Namespace -}}
{{- with index . 1 -}}
- {name: GRAPHYARD_PLANE, value: {{ .name | quote }}}
- {name: GRAPHYARD_PLANE_KIND, value: kubernetes}
- {name: GRAPHYARD_PUBLIC_URL, value: {{ .url | default $top.Values.publicUrl | trimSuffix "/" | quote }}}
- {name: GRAPHYARD_API_URL, value: {{ $top.Values.apiUrl | default $api | trimSuffix "/" | quote }}}
{{- if $top.Values.apiCa.existingSecret }}
- {name: GRAPHYARD_API_CA, value: /etc/graphyard/api/{{ $top.Values.apiCa.key }}}
{{- end }}
- name: GRAPHYARD_PLANE_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ include "graphyard.tokensSecret" $top }}, key: {{ .name }}}
- {name: GRAPHYARD_KUBERNETES_NAMESPACE, value: {{ .namespace | quote }}}
- {name: GRAPHYARD_KUBERNETES_BUILD_NAMESPACE, value: {{ .buildNamespace | quote }}}
{{- if .kubeconfig.existingSecret }}
- {name: GRAPHYARD_KUBERNETES_KUBECONFIG, value: /etc/graphyard/kubeconfig/{{ .kubeconfig.key }}}
{{- end }}
{{- with .registry }}
- {name: GRAPHYARD_KUBERNETES_REGISTRY_ADDRESS, value: {{ .address | quote }}}
- {name: GRAPHYARD_KUBERNETES_REGISTRY_API, value: {{ .api | quote }}}
- {name: GRAPHYARD_KUBERNETES_REGISTRY_INSECURE, value: {{ .insecure | quote }}}
- {name: GRAPHYARD_KUBERNETES_REGISTRY_PULL_SECRET, value: {{ .pullSecret | quote }}}
{{- if .existingSecret }}
- name: GRAPHYARD_KUBERNETES_REGISTRY_USERNAME
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ .usernameKey }}}
- name: GRAPHYARD_KUBERNETES_REGISTRY_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ .passwordKey }}}
{{- end }}
{{- end }}
{{- with .images }}
- {name: GRAPHYARD_KUBERNETES_SERVER_IMAGES, value: {{ toJson .servers | quote }}}
- {name: GRAPHYARD_KUBERNETES_NODE_SERVER_IMAGE, value: {{ .nodeServer | quote }}}
- {name: GRAPHYARD_KUBERNETES_BUILDER_IMAGE, value: {{ .builder | quote }}}
- {name: GRAPHYARD_KUBERNETES_POSTGRES_IMAGE, value: {{ .postgres | quote }}}
- {name: GRAPHYARD_KUBERNETES_VALKEY_IMAGE, value: {{ .valkey | quote }}}
{{- end }}
{{- with .databases }}
- {name: GRAPHYARD_KUBERNETES_DATABASE_MODE, value: {{ .mode | quote }}}
- {name: GRAPHYARD_KUBERNETES_DATABASE_HOST, value: {{ .host | quote }}}
- {name: GRAPHYARD_KUBERNETES_DATABASE_STORAGE_GI, value: {{ .storageGi | quote }}}
- {name: GRAPHYARD_KUBERNETES_DATABASE_STORAGE_CLASS, value: {{ .storageClass | quote }}}
- {name: GRAPHYARD_KUBERNETES_DATABASE_INSTANCES, value: {{ .instances | quote }}}
- {name: GRAPHYARD_KUBERNETES_DATABASE_BACKUP, value: {{ toJson .backup | quote }}}
{{- if eq .mode "shared" }}
- name: GRAPHYARD_KUBERNETES_DATABASE_ADMIN
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | default (include "graphyard.postgresSecret" $top) }}
      key: {{ ternary .key "dsn" (ne .existingSecret "") }}
{{- end }}
{{- end }}
{{- with .door }}
- {name: GRAPHYARD_KUBERNETES_INGRESS_CLASS, value: {{ .ingressClass | quote }}}
- {name: GRAPHYARD_KUBERNETES_DOOR_ANNOTATIONS, value: {{ toJson .annotations | quote }}}
- {name: GRAPHYARD_KUBERNETES_TLS_SECRET, value: {{ .tlsSecret | quote }}}
- {name: GRAPHYARD_KUBERNETES_GATEWAY, value: {{ .gateway | quote }}}
- {name: GRAPHYARD_KUBERNETES_DOOR_ADDRESS, value: {{ .address | quote }}}
- {name: GRAPHYARD_KUBERNETES_DOOR_SOURCES, value: {{ toJson .sources | quote }}}
- {name: GRAPHYARD_KUBERNETES_OPEN_EGRESS, value: {{ .openEgress | quote }}}
{{- end }}
{{- with .builds }}
- {name: GRAPHYARD_KUBERNETES_BUILD_SECONDS, value: {{ .seconds | quote }}}
- {name: GRAPHYARD_KUBERNETES_BUILD_RESOURCES, value: {{ toJson .resources | quote }}}
- {name: GRAPHYARD_KUBERNETES_BUILD_CACHE, value: {{ .cache | quote }}}
- {name: GRAPHYARD_KUBERNETES_BUILDER_REACHES, value: {{ .reaches | quote }}}
- {name: GRAPHYARD_KUBERNETES_HOST_NETWORK_BUILDS, value: {{ .hostNetwork | quote }}}
{{- end }}
{{- range $variable, $value := .env }}
- {name: {{ $variable }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- end }}
