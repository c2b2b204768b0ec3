# Two images from one build: `webhook`, the default, and `cli` (docker build --target cli), which also runs as the web UI.
# The webhook's image holds nothing that is not needed at admission. The binaries are the same as those of `make build`.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
# A layer for the modules, which change less often than the code.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev COMMIT=
RUN VERSION=$VERSION COMMIT=$COMMIT GOOS=$TARGETOS GOARCH=$TARGETARCH make build

# A static binary, with its time zones and with the CA certificates to verify bundle servers, and no shell. tools/image builds
# the images of a release from these two stages, without Docker.
FROM scratch AS cli
COPY --from=build /src/bin/bgpguard /bgpguard
# A number, so that the kubelet can verify runAsNonRoot.
USER 65532:65532
EXPOSE 8444
ENTRYPOINT ["/bgpguard"]

FROM scratch AS webhook
COPY --from=build /src/bin/webhook /webhook
USER 65532:65532
EXPOSE 9443 8443 8081
ENTRYPOINT ["/webhook"]
