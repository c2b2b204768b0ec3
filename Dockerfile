# Builds with the Makefile's flags, so that the binary is the same with and without Docker.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
# The modules in a layer of their own: they change less often than the code.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
RUN VERSION=$VERSION GOOS=$TARGETOS GOARCH=$TARGETARCH make build

# Nothing but the binary and the CAs that servers of bundles are known by: it is static, holds its time zones, and there
# is no shell to misuse.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/bin/webhook /webhook
# By number, so that the kubelet can see that it isn't root.
USER 65532:65532
EXPOSE 9443 8443 8081
ENTRYPOINT ["/webhook"]
