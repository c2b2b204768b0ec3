{{/*
The files in manifests/ are rendered from config/ by kustomize: `make golden` writes them. Templates change only what depends on values.
*/}}

{{/* A file of manifests/, in the namespace of the release. */}}
{{- define "bgpguard.manifest" -}}
{{- .root.Files.Get (printf "manifests/%s.yaml" .file) | replace "bgpguard-system" .root.Release.Namespace -}}
{{- end }}

{{/* The reference of an image. */}}
{{- define "bgpguard.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default (printf "v%s" .root.Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* The Secret of the serving certificate. */}}
{{- define "bgpguard.certificateSecret" -}}
{{- if eq .Values.certificates.source "Own" -}}bgpguard-webhook-cert
{{- else if eq .Values.certificates.source "CertManager" -}}bgpguard-webhook-tls
{{- else -}}{{ .Values.certificates.given.secretName }}
{{- end -}}
{{- end }}

{{/*
"true" if the webhook is registered. WhenReady depends on the cluster: `helm template` finds no ready replica. A registered webhook
stays registered, so that an upgrade during an outage does not end the reviews.
*/}}
{{- define "bgpguard.registered" -}}
{{- if eq .Values.webhook.register "Always" -}}true
{{- else if eq .Values.webhook.register "WhenReady" -}}
{{- $deployment := lookup "apps/v1" "Deployment" .Release.Namespace "bgpguard" | default dict -}}
{{- $registered := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" "bgpguard" -}}
{{- if or $registered (gt (dig "status" "readyReplicas" 0 $deployment | int) 0) -}}true{{- end -}}
{{- end -}}
{{- end }}
