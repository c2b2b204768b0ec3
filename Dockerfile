# The build is that of `make build`; nothing else is needed to get the same bytes.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY Makefile ./
COPY cmd cmd
COPY certs certs
COPY pkg pkg
COPY policies policies
ARG VERSION=dev
RUN make build VERSION=${VERSION}

FROM scratch
COPY --from=build /src/bin/webhook /webhook
COPY --from=build /src/bin/bgpguard /bgpguard
USER 65532:65532
ENTRYPOINT ["/webhook"]
