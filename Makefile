# Everything a developer, a user or CI calls. `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
# The pinned CDK CLI, and Node from the environment before the machine's own.
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export CDK_DISABLE_CLI_TELEMETRY := true
# The tests start many processes; each would compile CDK and boto3 anew, in five seconds.
unexport PYTHONDONTWRITEBYTECODE

BUNDLING ?= auto
ARCHITECTURE ?= x86_64
PYTEST ?= pytest
CDK ?= newest
# More than two processors can run at once, since many tests wait: for servers, queues, timeouts.
WORKERS ?= 5

.DEFAULT_GOAL := help
.PHONY: help setup system-packages demo local test compat compat-one chaos fuzz unit infra integration e2e test-docs check \
  lint workflows format synth package template docs mutants bench bench-quick lock audit release-check release clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready node_modules/.ready  ## create the environments (all other targets depend on it)

# uv where it can reach a package index by itself, else pip with the machine's own settings.
.venv/.ready: requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo "not on this machine"); \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$found. Try: make PYTHON=python3.13 ..." >&2; exit 1; }
	@echo "creating .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep '^uv==' requirements-dev.txt)"
	@$(BIN)/uv pip install -q -p $(BIN)/python -r requirements-dev.txt \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@# Two packages bring aws_cdk/cloud_assembly_schema, and uv unpacks them at the same time: aws-cdk-lib's must stay.
	@! grep -qs '"@aws-cdk/cloud-assembly-schema' .venv/lib/python3*/site-packages/aws_cdk/cloud_assembly_schema/__init__.py \
	  || $(BIN)/uv pip install -q -p $(BIN)/python --reinstall --no-deps "$$(grep '^aws-cdk-lib==' requirements.txt)" \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --force-reinstall --no-deps \
	    "$$(grep '^aws-cdk-lib==' requirements.txt)"
	@touch $@

node_modules/.ready: package.json package-lock.json .venv/.ready
	@echo "installing the CDK CLI (once) ..."
	@npm ci --no-fund --no-audit --loglevel=error
	@touch $@

system-packages:  ## the Debian packages that tests use, as far as they are missing (needs root, or sudo)
	@.ci/system-packages

demo: setup  ## deploy into a local AWS, put files, verify what arrives; exit 0 if every byte is equal (PARTNER=partner.json)
	@$(BIN)/python -m local demo $(if $(PARTNER),--partner "$(PARTNER)")

local: setup  ## the same, left running until Ctrl-C
	@$(BIN)/python -m local run

test: setup  ## all tests: unit, infra, integration, e2e, docs (WORKERS=5)
	@$(PYTEST) --numprocesses=$(WORKERS)

compat: setup  ## the oldest and the newest CDK, Python 3.11 to 3.14 (those that this machine has)
	@.ci/compat

compat-one: setup  ## construct and function on one Python with one CDK (PYTHON=python3.12 CDK=oldest|newest)
	@.ci/compat $(PYTHON) $(CDK)

chaos: setup  ## inject faults for minutes, then reconcile the outcome of every object (CHAOS="--seed 7 --rules")
	@$(BIN)/python -m chaos $(CHAOS)

fuzz: setup  ## malformed SFTP replies, SSH handshakes, events and keys, with three seeds (FUZZ="--seed 7")
	@$(BIN)/python -m fuzz $(FUZZ)

unit: setup  ## the fast tests only
	@$(PYTEST) tests/unit --numprocesses=2

infra: setup  ## the construct, the bundle, the wheel
	@$(PYTEST) tests/infra --numprocesses=$(WORKERS)

integration: setup  ## the function with real SFTP servers
	@$(PYTEST) tests/integration --numprocesses=$(WORKERS)

e2e: setup  ## the real stack in a local AWS
	@$(PYTEST) tests/e2e --numprocesses=$(WORKERS)

test-docs: setup  ## what the pages say
	@$(PYTEST) tests/docs

check: lint test  ## before a pull request: the linters and all tests

mutants: setup  ## mutate the code behind the guarantees, and print the mutants that survive (MUTANTS="named --only breaker")
	@$(BIN)/python -m tests.mutants $(MUTANTS)

lint: setup workflows  ## ruff, ruff format, mypy --strict, workflows
	@ruff check .
	@ruff format --check .
	@mypy
	@# What a newer Python has dropped, or is about to: the one that .ci/compat runs on.
	@mypy --python-version 3.14 --enable-error-code deprecated -p s3_to_sftp -p s3_to_sftp_cli
	@mypy local bench chaos fuzz release app.py
	@mypy docs/*.py docs/site/conf.py
	@mypy examples

# Offline: what it would look up online are facts about the pinned actions, which do not change with the tree.
workflows: setup  ## examine the workflows and the forms of the forge
	@zizmor --offline --quiet --strict-collection --persona=pedantic .github
	@check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	@check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml

format: setup  ## let ruff rewrite the code
	@ruff check --fix .
	@ruff format .

synth: setup  ## the CloudFormation template with a sample partner, into cdk.out
	@cdk synth --quiet -c ssh_host=sftp.partner.example \
	  -c ssh_host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2wK8v1rO5yJ2cVZ0e2qkK0c2m8Yw0m9m7b3yqk1XbR"
	@echo "cdk.out/S3ToSftp.template.json"

package: setup  ## package.zip for uploading by hand (BUNDLING=auto|local|docker ARCHITECTURE=x86_64|arm64)
	@$(BIN)/python -m cdk_s3_to_sftp.package --output package.zip \
	  --bundling $(BUNDLING) --architecture $(ARCHITECTURE)

template: setup  ## build/template: a CloudFormation template and function.zip, without CDK (BUNDLING, ARCHITECTURE)
	@$(BIN)/python -m cdk_s3_to_sftp.template --output build/template \
	  --bundling $(BUNDLING) --architecture $(ARCHITECTURE)

docs: setup  ## build/site: the documentation site; first the pages and pictures that are drawn from the code
	@$(BIN)/python docs/draw_dashboard.py
	@$(BIN)/python -m docs.draw_architecture
	@$(BIN)/python -m docs.draw_sequence
	@$(BIN)/python -m tests.docs.troubleshooting
	@$(BIN)/python -m tests.docs.error_reference
	@rm -rf build/site
	@$(BIN)/sphinx-build -q --fresh-env --fail-on-warning --keep-going --conf-dir docs/site \
	  --doctree-dir build/doctrees . build/site
	@echo "build/site/index.html"

.venv/.bench-ready: .venv/.ready bench/requirements.txt
	@$(BIN)/uv pip install -q -p $(BIN)/python -r bench/requirements.txt \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check -r bench/requirements.txt
	@touch $@

bench: setup .venv/.bench-ready  ## measure beside sftp, rclone, lftp, asyncssh, paramiko and the naive Lambda (an hour)
	@$(BIN)/python -m bench

bench-quick: setup .venv/.bench-ready  ## smaller workloads, about ten minutes
	@$(BIN)/python -m bench --quick

lock: setup  ## update the hash locks: function, local AWS, template scanner, build backend
	@uv pip compile -q --upgrade --generate-hashes --python-version 3.13 \
	  --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" \
	  lambda_src/s3_to_sftp/requirements.in -o lambda_src/s3_to_sftp/requirements.txt
	@uv pip compile -q --upgrade --generate-hashes --python-version 3.13 \
	  --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" \
	  lambda_src/s3_to_sftp/requirements-openpgp.in -o lambda_src/s3_to_sftp/requirements-openpgp.txt
	@# The tests run the function on the versions that it ships.
	@for pin in $$(grep -hoE '^[a-z0-9-]+==[0-9.]+' lambda_src/s3_to_sftp/requirements*.txt); do \
	  sed -i.old "s/^$${pin%%=*}==.*/$$pin/" requirements-dev.txt; done; rm requirements-dev.txt.old
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  local/requirements.in -o local/requirements.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  tests/infra/checkov/requirements.in -o tests/infra/checkov/requirements.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  release/build-requirements.in -o release/build-requirements.txt

audit: setup  ## known vulnerabilities of what the locks pin; says so where no database answers
	@$(BIN)/python -m release audit

release-check: setup  ## build/release: build, examine and try what a release consists of (TAG=v1.0.0 also requires what publishing needs)
	@$(BIN)/python -m release check $(if $(TAG),--tag "$(TAG)")

release:  ## the release page of TAG on the forge, of what release-check has built (needs gh, and its token)
	@test -n "$(TAG)" || { echo "No release is named. Try: make release TAG=v1.0.0" >&2; exit 1; }
	@# What is not surely a full release is shown as one to try.
	@gh release create "$(TAG)" --verify-tag --notes-file build/release/notes.md \
	  $$(echo "$(TAG)" | grep -Eq '^v[0-9.]+(\.post[0-9]+)?$$' || echo --prerelease) \
	  build/release/dist/* build/release/assets/*

clean:  ## remove generated files
	@rm -rf .venv node_modules .local build dist cdk.out package.zip .pytest_cache .mypy_cache .ruff_cache .hypothesis
