# What can be done here: make help
.DEFAULT_GOAL := help
ARGS ?=

.PHONY: help demo test browser bench fleet check lab deb rpm repo clean picture messages

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the main job on a throw-away VM in a folder; ARGS=--once ends by itself
	@tools/venv demo
	@.venv/demo/bin/python -m demo.run $(ARGS)

picture: ## the pictures of README, docs/images/*.svg, from what waguardctl shows on the demo's VM
	@tools/venv demo
	@.venv/demo/bin/python -m demo.picture

test: ## unit tests on every Python 3.9-3.13 found, on the first integration tests and those marked "once"
	@tools/test $(ARGS)

browser: ## the status page in a real Chromium, which root installs; screenshots in browser-artefacts/
	@tools/browser
	@tools/messages
	@tools/venv test
	@.venv/test/bin/python -m pytest tests/browser $(ARGS)

bench: deb ## waguard beside what people would use instead, in the lab (root): the table, dist/bench.json, docs/performance.md
	@python3 -m bench.beside $(ARGS)

fleet: ## 1,000 and 5,000 simulated VMs before a real Prometheus, into docs/fleet.md; about ten minutes, all CPUs
	@tools/venv test
	@.venv/test/bin/python -m bench.fleet $(ARGS)

check: ## ruff, mypy --strict, shellcheck, exposure of the units
	@tools/check

deb: ## dist/waguard_*_all.deb
	@packaging/build-deb.sh

rpm: ## dist/waguard-*.noarch.rpm for this distribution, after the unit tests with its own Python
	@packaging/build-rpm.sh

repo: ## what dist/ holds, into signed repositories for apt, dnf and zypper: dist/repo; docs/deploy.md
	@packaging/repo

# 5: pytest has found no test, which is as it should be only for those that ARGS picks.
lab: NONE = $(if $(strip $(ARGS)),|| [ $$? = 5 ])
lab: deb ## scenarios on real systemd with the real waagent (root); ARGS=-k name
	@WAGUARD_RPM_CHECK=no packaging/build-rpm.sh
	@tests/lab/prepare.sh
	@tools/venv test
	@.venv/test/bin/python -m pytest tests/lab -m "not alone" --numprocesses=8 --dist=worksteal --durations=10 $(ARGS) $(NONE)
	@.venv/test/bin/python -m pytest tests/lab -m alone $(ARGS) $(NONE)

messages: ## po/es.po brought in step with the code; FILES="..." have translations for it
	@tools/messages
	@python3 -m po.messages update $(FILES)

clean: ## remove what was built
	rm -rf build dist waguard/locale .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis lab-artefacts browser-artefacts ./*.egg-info
