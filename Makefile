# bgpguard needs Go and make. Every tool and the cluster of the tests are Go programs, pinned in modules of their own
# (tools/*, test/controlplane, test/containerd) and built into bin/ on first use. Four parts of `make test` need more:
# `make browser` needs Chromium and npm, `make bird` needs root, BIRD 1.6 and iproute2, `make cluster` needs root, runc,
# nftables and iproute2, and `make reproducible` needs root and buildah. `make system` installs them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps share two cores and one Go build cache: side by side they only get in each other's way.
.NOTPARALLEL:

# How the product is built, here and in the Dockerfile (which calls `make build`). Without -trimpath and
# -buildvcs=false the same commit would give other bytes in another folder or without its .git.
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
GO_BUILD  = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)"
IMAGE    ?= bgpguard/webhook:$(VERSION)
CLI_IMAGE ?= bgpguard/bgpguard:$(VERSION)

FUZZTIME   ?= 2s
BENCHCOUNT ?= 6
RACE_ROUNDS ?= 50
SOAK       ?= 60s
SOAK_FLAGS ?=
BENCH_FLAGS ?=

# Tests with the build tag `system` need a control plane, a browser or BIRD; all others are unit tests. Unit tests run
# with the race detector in packages that share memory between goroutines: the detector costs several times the time.
SYSTEM     = -tags system
CONCURRENT = $$(go list -f '{{range .Imports}}{{if or (eq . "sync") (eq . "sync/atomic")}}{{println $$.ImportPath}}{{end}}{{end}}' ./... | sort -u)
# `make vet` vets the tests, and linking debug information takes a third of a test's build.
LEAN       = -vet=off -ldflags=-w
E2E        = ./test/e2e ./test/schema ./test/judgement ./test/env ./test/docs ./test/chart ./test/demo
# The core decides about a change; `make quick` tests it.
CORE       = $(addprefix ./,$(addsuffix /...,pkg/text pkg/calico pkg/state pkg/topology pkg/policy pkg/validate pkg/admission pkg/audit policies))
# The webhooks that bench-peers measures beside bgpguard.
PEERS      = $(addprefix bin/peers/,gatekeeper/gatekeeper kyverno/kyverno)
# Packages with golden files import test/golden in their tests.
GOLDEN     = $$(go list $(SYSTEM) -f '{{range .TestImports}}{{if eq . "github.com/bgpguard/bgpguard/test/golden"}}{{println $$.ImportPath}}{{end}}{{end}}' ./...)

# The title of a step, and how long the step before it took. Two runs of make at the same time have times of their own.
step = @tools/step.sh $$PPID

##@ Use

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build crds bin/tools/setup-envtest ## Guard a real API server on this machine (KEEP=1 leaves a guarded cluster running)
	$(step) 'demo: find or download a control plane'
	@tools/envtest.sh >bin/.assets || { echo '    building one instead'; $(MAKE) --no-print-directory controlplane; echo "$(CURDIR)/bin/controlplane" >bin/.assets; }
	$(step) 'demo: two stories'
	@KEEP=$(KEEP) KUBEBUILDER_ASSETS=$$(cat bin/.assets) go run ./test/demo
	$(step) 'demo: done' all

.PHONY: build
build: ## Build bin/webhook and bin/bgpguard
	$(step) 'build bin/webhook and bin/bgpguard (a minute on a cold cache)'
	@$(GO_BUILD) -o bin/webhook ./cmd/webhook
	@$(GO_BUILD) -o bin/bgpguard ./cmd/bgpguard

.PHONY: man
man: ## Write the manual pages of the CLI into bin/man
	$(step) 'man: bin/man'
	@rm -rf bin/man && mkdir -p bin/man
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) go test $(LEAN) ./cmd/bgpguard -run '^TestManualPages$$' -man "$(CURDIR)/bin/man"

.PHONY: image
image: ## Build the container images of the webhook and of the CLI (needs Docker)
	docker build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --target webhook -t $(IMAGE) .
	docker build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --target cli -t $(CLI_IMAGE) .

.PHONY: push
push: ## Push the image of the webhook, IMAGE, to its registry (needs Docker)
	docker push $(IMAGE)

.PHONY: manifests
manifests: bin/tools/kustomize ## Render what `kubectl apply -k` installs, with IMAGE, into bin/manifests
	$(step) 'manifests: render config/ with $(IMAGE)'
	@tools/manifests.sh bin/manifests $(IMAGE)

# The registration comes last: an image that does not start never blocks changes.
.PHONY: install
install: manifests ## Install IMAGE in the cluster of the current context (needs kubectl)
	$(step) 'install: the kinds and the pods'
	kubectl apply -f bin/manifests/crd.yaml
	kubectl wait --for=condition=Established crd/bgppolicies.policy.bgpguard.io crd/bgpexceptions.policy.bgpguard.io
	kubectl apply -f bin/manifests/start.yaml
	$(step) 'install: wait for the pods, then register the webhook'
	kubectl -n bgpguard-system rollout status deployment/bgpguard --timeout=5m
	kubectl apply -f bin/manifests/default.yaml

PLATFORMS ?= linux/amd64 linux/arm64 darwin/arm64
DIST      ?= bin/release
# The time stamp of files in a release.
EPOCH     ?= $(shell git log -1 --format=%ct 2>/dev/null)

.PHONY: release
release: bin/tools/kustomize bin/tools/cyclonedx-gomod bin/tools/image ## Build a release into bin/release, offline and reproducibly
	$(step) 'release: $(VERSION) for $(PLATFORMS), into $(DIST)'
	@tools/release.sh $(DIST) $(VERSION) '$(COMMIT)' $(EPOCH) $(PLATFORMS)

.PHONY: release-check
release-check: bin/tools/kustomize bin/tools/cyclonedx-gomod bin/tools/image ## Build a release twice and compare all bytes, and its images with buildah's (needs root or sudo, and buildah)
	$(step) 'release-check: twice for $(PLATFORMS)'
	@RELEASE_PLATFORMS='$(PLATFORMS)' go test $(SYSTEM) -count=1 -timeout 60m ./test/release -run '^TestARelease'

.PHONY: clean
clean: ## Remove bin/, the tools and the control plane with it
	rm -rf bin

.PHONY: generate
generate: bin/tools/controller-gen ## Write the generated files: the CRDs, deep copies, BGPPolicies and pages of the library
	$(step) 'generate: controller-gen, config/policies, docs/policies'
	@bin/tools/controller-gen object crd paths=./pkg/api/... output:crd:dir=config/crd
	@go run ./test/crds -controller-gen bin/tools/controller-gen -embed pkg/schema/crds.json.gz
	@go test ./policies ./pkg/policy ./pkg/report -run 'Library|SchemaOfChanges' -update

.PHONY: golden
golden: generate build controlplane crds ## Write every golden file (-update); read the difference before you commit it
	$(step) 'golden: go test -update'
	@go test $(SYSTEM) -count=1 -p 1 $(GOLDEN) -update

##@ Check

.PHONY: test
test: system fmt-check vet lint tidy-check generate-check policies-check manifests monitoring-check unit fuzz properties e2e races-short soak-short browser bird cluster reproducible ## Everything that CI runs, in this order
	$(step) 'all passed' all

.PHONY: quick
quick: fmt-check ## Format, vet and unit tests of the core, without a control plane: under a minute on a warm cache
	$(step) 'quick: go vet, go test of the core'
	@go vet $(CORE)
	@go test $(CORE)

.PHONY: system
system: ## Install what tests need in addition to Go and make: BIRD 1.6, iproute2, runc, nftables, buildah, Chromium, npm (Debian and Ubuntu)
	$(step) 'system: BIRD, iproute2, runc, nftables, buildah, Chromium, npm'
	@tools/system.sh bird=bird bird6=bird ip=iproute2 runc=runc nft=nftables buildah=buildah chromium=chromium npm=npm

.PHONY: fmt-check
fmt-check: ## gofmt
	$(step) 'fmt-check: gofmt'
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "run gofmt -w on: $$unformatted" >&2; exit 1; }

.PHONY: vet
vet: ## go vet
	$(step) 'vet: go vet (two minutes on a cold cache)'
	@go vet $(SYSTEM) ./...

.PHONY: lint
lint: bin/tools/golangci-lint bin/tools/actionlint ## golangci-lint, and actionlint for the workflows
	$(step) 'lint: golangci-lint, actionlint'
	@bin/tools/actionlint -shellcheck= .github/workflows/*.yaml
	@bin/tools/golangci-lint run

.PHONY: tidy-check
tidy-check: ## go.mod and go.sum of every module match the code
	$(step) 'tidy-check: go mod tidy -diff in every module'
	@for module in . test/controlplane test/containerd $(dir $(wildcard tools/*/go.mod)); do \
		echo "    $$module"; (cd $$module && go mod tidy -diff) || exit 1; done

.PHONY: generate-check
generate-check: bin/tools/controller-gen ## The CRDs and the deep copies match the Go types (unit tests check the library)
	$(step) 'generate-check: controller-gen'
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
		go run ./test/crds -controller-gen bin/tools/controller-gen -embed "$$fresh/crds.json.gz" && \
		gunzip <"$$fresh/crds.json.gz" >"$$fresh/crds.json" && gunzip <pkg/schema/crds.json.gz | diff - "$$fresh/crds.json" || \
		{ echo "run make generate" >&2; exit 1; }
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
		bin/tools/controller-gen object crd paths=./pkg/api/... output:dir="$$fresh" && \
		for file in config/crd/policy.bgpguard.io_bgpexceptions.yaml config/crd/policy.bgpguard.io_bgppolicies.yaml pkg/api/v1alpha1/zz_generated.deepcopy.go; do \
			diff -u "$$file" "$$fresh/$$(basename "$$file")" || { echo "run make generate" >&2; exit 1; }; done

.PHONY: policies-check
policies-check: bin/tools/opa bin/tools/regal ## opa fmt, opa check --strict, regal lint, opa test
	$(step) 'policies-check: opa fmt, opa check, regal, opa test'
	@bin/tools/opa fmt --fail --list policies
	@bin/tools/opa check --bundle --strict --schema policies/schemas policies
	@REGAL_DISABLE_VERSION_CHECK=1 bin/tools/regal lint --fail-level warning policies
	@bin/tools/opa test --bundle policies
	@bin/tools/opa fmt --fail --list test/bench/policies
	@bin/tools/opa check --strict test/bench/policies
	@bin/tools/opa test test/bench/policies

.PHONY: monitoring-check
monitoring-check: bin/tools/kustomize bin/tools/promtool ## Test when alerts fire, and that every metric of alerts and dashboard exists
	$(step) 'monitoring-check: promtool, go test ./test/monitoring'
	@go test -count=1 ./test/monitoring

.PHONY: unit
unit: bin/tools/opa bin/tools/regal bin/tools/helm bin/tools/kustomize ## Unit tests, with the race detector where goroutines share memory
	$(step) 'unit: go test, and go test -race where goroutines share memory'
	@race=-race; command -v "$$(go env CC)" >/dev/null || { race=; echo '    without -race, which needs a C compiler'; }; \
		go test $(LEAN) -timeout 30m $$race $(CONCURRENT) & concurrent=$$!; \
		go test $(LEAN) $$(go list ./... | grep -vxF "$(CONCURRENT)"); sequential=$$?; \
		wait $$concurrent && exit $$sequential

.PHONY: properties
properties: ## Properties of decisions, on 20,000 random changes
	$(step) 'properties: go test ./test/judgement/property, 20,000 random changes'
	@go test $(LEAN) -timeout 30m ./test/judgement/property -property.cases 20000

# These tests wait more than they compute, so some run at the same time. Each has a control plane of its own. All of
# test/e2e together take longer than go test's limit of ten minutes.
.PHONY: e2e
e2e: build controlplane crds bin/tools/helm bin/tools/setup-envtest ## Tests against a real kube-apiserver and kubectl
	$(step) 'e2e: go test $(E2E) against real control planes'
	@go test $(SYSTEM) -count=1 -timeout 30m -p 2 -parallel 3 $(E2E)

# For one platform, to save time: make release-check compares all.
.PHONY: reproducible
reproducible: PLATFORMS = linux/amd64
reproducible: release-check

.PHONY: races
races: RACE_ROUNDS = 500
races: races-short ## Concurrent changes against a real API server, 500 rounds of each race (one to two hours)

# The tables stay in bin/races.md. A longer run must not end at go test's limit of ten minutes.
.PHONY: races-short
races-short: build controlplane crds ## Concurrent changes against a real API server, RACE_ROUNDS (50) rounds of each race
	$(step) 'races: go test ./test/races, $(RACE_ROUNDS) rounds of each race'
	@go test $(SYSTEM) -count=1 -timeout 3h ./test/races -rounds $(RACE_ROUNDS); status=$$?; cat bin/races.md; exit $$status

.PHONY: browser
browser: build test/browser/node_modules/.package-lock.json ## HTML reports in Chromium, with axe-core (needs chromium and npm)
	$(step) 'browser: go test ./test/browser in Chromium'
	@go test $(SYSTEM) -count=1 ./test/browser

# npm writes this file when it is done.
test/browser/node_modules/.package-lock.json: test/browser/package.json test/browser/package-lock.json
	$(step) 'browser: npm ci'
	@cd test/browser && npm ci --silent
	@touch $@

.PHONY: bird
bird: ## Predicted sessions and routes against BIRD 1.6, in network namespaces (needs root or sudo, bird and iproute2)
	$(step) 'bird: test/bird against BIRD (three minutes, mostly of waiting)'
	@mkdir -p bin && go test $(SYSTEM) -c -o bin/bird.test ./test/bird
	@cd test/bird && $$([ "$$(id -u)" = 0 ] || echo sudo -n) ../../bin/bird.test

# sudo keeps no environment.
.PHONY: cluster
cluster: build controlplane nodes crds bin/tools/image bin/tools/helm ## Install on two real nodes, in namespaces (needs root or sudo, runc, nftables and iproute2)
	$(step) 'cluster: test/cluster on two nodes, each a kubelet with containerd (three minutes)'
	@go test $(SYSTEM) -c -o bin/cluster.test ./test/cluster
	@cd test/cluster && $$([ "$$(id -u)" = 0 ] || echo sudo -n --preserve-env=KUBEBUILDER_ASSETS) ../../bin/cluster.test -test.v -test.timeout 20m

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (2s; each night 5m or more)
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd pkg policies certs test 2>/dev/null | \
	while IFS=: read -r file declaration; do \
		target=$${declaration#func }; \
		printf '\n==> fuzz %s: %s\n' "$$(dirname "$$file")" "$$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "./$$(dirname "$$file")" || exit 1; \
	done

.PHONY: corpus
corpus: ## Add inputs that `make fuzz` found and that cover more statements to testdata/fuzz
	$(step) 'corpus: go test -cover with what is in the cache of go test -fuzz'
	@tools/corpus.sh

.PHONY: vulnerabilities
vulnerabilities: bin/tools/govulncheck ## Known vulnerabilities in code that the binaries call (needs a network)
	$(step) 'vulnerabilities: govulncheck'
	@bin/tools/govulncheck ./cmd/...

##@ Measure

.PHONY: soak
soak: SOAK = 5m
soak: soak-short ## Load a webhook at 5,000 nodes for 5 minutes: no errors, and no growth of memory and goroutines

# SOAK_FLAGS="-nodes 10000 -bgppeers 5000 -memory 512 -requests 2 -changes 2" measures another cluster in a container of 512 MiB.
.PHONY: soak-short
soak-short: build controlplane crds ## Load a webhook at 5,000 nodes for SOAK (60s), with SOAK_FLAGS
	$(step) 'soak: go test ./test/soak, $(SOAK)'
	@go test $(SYSTEM) -count=1 -timeout 60m -v ./test/soak -duration $(SOAK) $(SOAK_FLAGS)

# BENCH_FLAGS="--nodes 5000 --duration 2s --record" measures less or longer, or adds the results to test/bench/history.md.
.PHONY: bench
bench: build controlplane crds ## Compare bgpguard with a webhook that does nothing, at 100 to 10,000 nodes, with BENCH_FLAGS
	$(step) 'bench: go run ./test/bench $(BENCH_FLAGS)'
	@go run ./test/bench $(BENCH_FLAGS)

# With BENCH_FLAGS="--nodes 5000 --duration 2s", ten minutes. The modules in test/bench/peers are used only here: tidy-check would
# download hundreds of modules for them.
.PHONY: bench-peers
bench-peers: build controlplane crds $(PEERS) ## Compare bgpguard with Gatekeeper and Kyverno, with BENCH_FLAGS
	$(step) 'bench-peers: go run ./test/bench --peers bin/peers $(BENCH_FLAGS)'
	@go run ./test/bench --peers bin/peers $(BENCH_FLAGS)

.PHONY: bench-stages
bench-stages: bin/tools/benchstat ## Measure each stage of a request (Go benchmarks), with a summary of BENCHCOUNT runs
	$(step) 'bench-stages: go test -bench'
	@go test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./... >bin/bench.txt
	@bin/tools/benchstat bin/bench.txt

##@ Parts

CONTROLPLANE = bin/controlplane/etcd bin/controlplane/kube-apiserver bin/controlplane/kubectl

.PHONY: controlplane
ifdef KUBEBUILDER_ASSETS
# Tests run in the folders of their packages, where a relative path leads elsewhere.
export KUBEBUILDER_ASSETS := $(abspath $(KUBEBUILDER_ASSETS))
controlplane: ## Build etcd, kube-apiserver and kubectl (8 minutes, once), unless KUBEBUILDER_ASSETS says where they are
	$(step) 'control plane: taken from KUBEBUILDER_ASSETS=$(KUBEBUILDER_ASSETS)'
else
controlplane: $(CONTROLPLANE)
endif

$(CONTROLPLANE): test/controlplane/go.mod test/controlplane/go.sum

bin/controlplane/etcd: # about half a minute
	$(step) 'control plane 1/3: build etcd (half a minute, once)'
	@cd test/controlplane && ../../tools/build.sh ../../$@ go.etcd.io/etcd/server/v3

# Without its version linked in, a Kubernetes binary calls itself v0.0.0-master.
kubernetes_ldflags = version=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes) && minor=$${version\#v1.} && \
	ldflags="-X k8s.io/component-base/version.gitVersion=$$version -X k8s.io/component-base/version.gitMajor=1 \
	-X k8s.io/component-base/version.gitMinor=$${minor%%.*}"

bin/controlplane/kube-apiserver:
	$(step) 'control plane 2/3: build kube-apiserver (6 minutes on two cores, once)'
	@cd test/controlplane && $(kubernetes_ldflags) && \
		../../tools/build.sh ../../$@ k8s.io/kubernetes/cmd/kube-apiserver "$$ldflags"

bin/controlplane/kubectl:
	$(step) 'control plane 3/3: build kubectl (a minute, once)'
	@cd test/controlplane && $(kubernetes_ldflags) && \
		../../tools/build.sh ../../$@ k8s.io/kubernetes/cmd/kubectl "$$ldflags"

KUBERNETES = $(addprefix bin/cluster/,kube-controller-manager kube-scheduler kubelet kube-proxy)
CONTAINERD = $(addprefix bin/cluster/,containerd containerd-shim-runc-v2 ctr)

.PHONY: nodes
nodes: $(KUBERNETES) $(CONTAINERD) bin/cluster/pause ## Build what nodes run: kubelet, kube-proxy, containerd (4 minutes, once)

$(KUBERNETES): test/controlplane/go.mod test/controlplane/go.sum
	$(step) 'cluster: build $(@F) (up to two minutes, once)'
	@cd test/controlplane && $(kubernetes_ldflags) && \
		../../tools/build.sh ../../$@ k8s.io/kubernetes/cmd/$(@F) "$$ldflags"

# Without snapshotters that the nodes do not use, and without tracing.
$(CONTAINERD): export GOFLAGS = -tags=no_btrfs,no_devmapper,no_zfs,no_tracing
$(CONTAINERD): test/containerd/go.mod test/containerd/go.sum
	$(step) 'cluster: build $(@F) (up to a minute, once)'
	@cd test/containerd && version=$$(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2) && \
		../../tools/build.sh ../../$@ github.com/containerd/containerd/v2/cmd/$(@F) \
		"-X github.com/containerd/containerd/v2/version.Version=$$version"

bin/cluster/pause: test/cluster/pause/main.go
	@tools/build.sh $@ ./test/cluster/pause

# The modules of other webhooks have their manifests, too.
bin/peers/gatekeeper/gatekeeper: peer = github.com/open-policy-agent/gatekeeper/v3
bin/peers/gatekeeper/gatekeeper: manifest = deploy/gatekeeper.yaml
bin/peers/kyverno/kyverno: peer = github.com/kyverno/kyverno
bin/peers/kyverno/kyverno: command = /cmd/kyverno
bin/peers/kyverno/kyverno: manifest = config/install-latest-testing.yaml

$(PEERS): bin/peers/%: tools/build.sh
	$(step) 'peers: build $(@F) (up to eight minutes, once)'
	@cd test/bench/peers/$(@F) && ../../../../tools/build.sh ../../../../$@ $(peer)$(command) && \
		install -m 644 "$$(go list -m -f '{{.Dir}}' $(peer))/$(manifest)" ../../../../$@.yaml

bin/peers/gatekeeper/gatekeeper: $(addprefix test/bench/peers/gatekeeper/,go.mod go.sum)
bin/peers/kyverno/kyverno: $(addprefix test/bench/peers/kyverno/,go.mod go.sum)

.PHONY: crds
crds: bin/crds/.done ## Write Calico's CRDs into bin/crds/{v1,v3}, from Calico's own modules

bin/crds/.done: go.mod pkg/calico/kinds.go $(wildcard test/crds/*.go) bin/tools/controller-gen
	$(step) 'crds: collect crd.projectcalico.org/v1, generate projectcalico.org/v3'
	@go run ./test/crds -controller-gen bin/tools/controller-gen -output bin/crds
	@touch $@

.PHONY: tools
tools: $(patsubst tools/%/go.mod,bin/tools/%,$(wildcard tools/*/go.mod)) ## Build every tool into bin/tools

bin/tools/image: tools/image/main.go

# promtool without the clients of two dozen clouds that it could discover targets in: a test of rules needs none.
bin/tools/promtool: export GOFLAGS = -tags=remove_all_sd

# golangci-lint takes about three minutes, promtool two, each other tool less than that.
bin/tools/%: tools/%/go.mod tools/%/go.sum tools/build.sh
	$(step) 'tool: build $* (up to three minutes, once)'
	@cd tools/$* && ../build.sh ../../$@ "$$(sed -n 's/^tool //p' go.mod)"
