# platter: make demo shows what it does, make test proves it. Both set the machine up first.

GO        ?= go
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PACKAGES  := qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu \
             fio mmdebstrap e2fsprogs procps npm
TESTPACKAGES := gcc libc6-dev git chromium libxml2-utils strace
STATICCHECK  := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help setup build probe guest demo test test-hypervisors lint bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## install what is missing, start libvirt (Debian family, root)
	@scripts/setup.sh $(PACKAGES)

build: probe reports/assets/echarts.min.js ## build bin/platter
	@CGO_ENABLED=0 $(GO) build -ldflags '-X main.buildVersion=$(VERSION)' -o bin/platter ./cmd/platter

# The probe runs in the guest; platter has it inside. Without paths and revision the same source gives the same bytes.
probe:
	@CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' \
		-o orchestrator/guest/bin/probe-amd64 ./orchestrator/guest/probe

reports/assets/echarts.min.js: reports/assets/package-lock.json
	@cd reports/assets && npm ci --silent --no-audit --no-fund
	@cp reports/assets/node_modules/echarts/dist/echarts.min.js $@
	@cd reports/assets/node_modules && cat echarts/LICENSE echarts/NOTICE echarts/licenses/* zrender/LICENSE tslib/LICENSE.txt >../LICENSE-echarts
	@rm -rf reports/assets/node_modules

guest: setup build ## build the measuring guest
	@bin/platter guest build >/dev/null

demo: guest ## measure the built-in matrix demo into ./demo
	@rm -rf demo
	@status=0; bin/platter run demo -o demo || status=$$?; bin/platter report demo && exit $$status

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	@$(GO) vet ./...
	@$(GO) run $(STATICCHECK) ./...

test: ## run every test, with real guests; nothing is skipped
	@scripts/setup.sh $(PACKAGES) $(TESTPACKAGES)
	@$(MAKE) --no-print-directory build
	@scripts/test.sh

test-hypervisors: ## run what is tested in a newer hypervisor's tree in the trees of all
	@scripts/setup.sh $(PACKAGES) $(TESTPACKAGES)
	@$(MAKE) --no-print-directory build
	@scripts/test.sh hypervisors

bench: guest ## print what platter itself costs
	@PLATTER_REAL=1 $(GO) test -run '^$$' -bench . -benchtime 1x ./orchestrator/...
	@$(GO) test -run '^$$' -bench . ./fiojob/... ./reports/...
	@$(GO) test -run '^$$' -bench Every -benchtime 3x ./powercut/replay
	@$(GO) test -run '^$$' -bench BruteForce -benchtime 1x ./powercut/replay
	@$(GO) test -run '^$$' -bench . -benchtime 1x ./powercut
	@scripts/beside.sh
	@$(GO) test -run '^$$' -bench . -benchtime 1x ./gate/... ./lint/... ./compare/...

clean: ## remove what was built here (not the guest images in the cache)
	@rm -rf bin orchestrator/guest/bin/probe-* demo testoutput reports/assets/node_modules reports/assets/echarts.min.js reports/assets/LICENSE-echarts
