# Two commands are all that is needed: `make run` and `make test`. The rest is comfort.
# ARGS passes further arguments on: make psql ARGS="-At -c 'select 1'".

.DEFAULT_GOAL := help
.PHONY: help run test psql bench chaos mutations lint build clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build, start the shop; Ctrl-C stops it
	@.ci/needs.sh run
	@go build -trimpath -o crema ./server
	@exec ./crema dev $(ARGS)

test: ## install what the tests need, run all of them with the race detector
	@.ci/needs.sh test
	@.ci/test.sh $(ARGS)

psql: ## open psql on the shop's database (the server must run)
	@[ -x ./crema ] || go build -trimpath -o crema ./server
	@exec ./crema psql $(ARGS)

bench: ## compare the server with bare handlers: ours, floor, ratio, p50, p99
	@.ci/needs.sh run
	@.ci/bench.sh $(ARGS)

chaos: ## kill servers at every point, for most of an hour: no deploy is half done, no payment lost or doubled
	@.ci/needs.sh test
	@.ci/chaos.sh $(ARGS)

mutations: ## break each promise of the payments once; the tests must notice all
	@.ci/needs.sh test
	@.ci/mutations.sh $(ARGS)

lint: ## formatting, vet, staticcheck, a tidy go.mod
	@.ci/lint.sh

build: ## build the binary ./crema
	go build -trimpath -o crema ./server

clean: ## remove what was built; the data folder stays
	rm -rf crema server/e2e/clients/node_modules server/e2e/clients/*/node_modules
