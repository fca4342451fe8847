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
# More than two processors can run at once, since many tests wait: for servers, queues, timeouts.
WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup demo local test compat chaos fuzz unit check lint format synth package template docs mutants bench bench-quick lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready node_modules/.ready  ## create the environments (all other targets depend on it)

# uv where it can reach a package index by itself, else pip with the machine's own settings.
.venv/.ready: requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.13 ..."; exit 1; }
	@echo "creating .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep '^uv==' requirements-dev.txt)"
	@$(BIN)/uv pip install -q -p $(BIN)/python -r requirements-dev.txt \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@# Two packages bring aws_cdk/cloud_assembly_schema, and uv unpacks them at the same time: aws-cdk-lib's must stay.
	@! grep -qs '"@aws-cdk/cloud-assembly-schema' .venv/lib/python3*/site-packages/aws_cdk/cloud_assembly_schema/__init__.py \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --force-reinstall --no-deps \
	    "$$(grep '^aws-cdk-lib==' requirements.txt)"
	@touch $@

node_modules/.ready: package.json package-lock.json .venv/.ready
	@echo "installing the CDK CLI (once) ..."
	@npm ci --no-fund --no-audit --loglevel=error
	@touch $@

demo: setup  ## deploy into a local AWS, put files, verify what arrives; exit 0 if every byte is equal (PARTNER=partner.json)
	@$(BIN)/python -m local demo $(if $(PARTNER),--partner "$(PARTNER)")

local: setup  ## the same, left running until Ctrl-C
	@$(BIN)/python -m local run

test: setup  ## all tests: unit, infra, integration, e2e, docs (WORKERS=4)
	@$(PYTEST) --numprocesses=$(WORKERS)

compat: setup  ## the oldest and the newest CDK, Python 3.11 to 3.14 (those that this machine has)
	@.ci/compat

chaos: setup  ## inject faults for minutes, then reconcile the outcome of every object (CHAOS="--seed 7 --rules")
	@$(BIN)/python -m chaos $(CHAOS)

fuzz: setup  ## malformed SFTP replies, SSH handshakes, events and keys, with three seeds (FUZZ="--seed 7")
	@$(BIN)/python -m fuzz $(FUZZ)

unit: setup  ## the fast tests only
	@$(PYTEST) tests/unit --numprocesses=2

check: lint test  ## what CI runs

mutants: setup  ## mutate the code behind the guarantees, and print the mutants that survive (MUTANTS="named --only breaker")
	@$(BIN)/python -m tests.mutants $(MUTANTS)

lint: setup  ## ruff, ruff format, mypy --strict
	@ruff check .
	@ruff format --check .
	@mypy
	@mypy local bench chaos fuzz app.py
	@mypy docs/*.py docs/site/conf.py
	@mypy examples

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

lock: setup  ## update the hash locks of the function, the local AWS and the template scanner
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

clean:  ## remove generated files
	@rm -rf .venv node_modules .local build dist cdk.out package.zip .pytest_cache .mypy_cache .ruff_cache .hypothesis
