"""Stand-ins for the macros of distributions, which say who they are, and what packaging/waguard.spec has to be where it meets them."""

from __future__ import annotations

import pytest

FEDORA_MACROS = ("pyproject_wheel WHEEL", "pyproject_install INSTALL", "pyproject_save_files() SAVE", "systemd_post() POST %*",
                 "systemd_preun() PREUN %*", "systemd_postun_with_restart() RESTART %*", "python3_sitelib /usr/lib/python3.9/site-packages",
                 "__python3 /usr/bin/python3")
SUSE_MACROS = ("service_add_pre() PRE %*", "service_add_post() POST %*", "service_del_preun() PREUN %*", "service_del_postun() RESTART %*",
               "pyproject_wheel WHEEL", "python3_sitelib /usr/lib/python3.6/site-packages", "__python3 /usr/bin/python3")
ALL_UNITS = "waguard.service waguard-exporter.service waguard-exporter.socket waguard-doctor.socket waguard-textfile.timer"

# Macros; words of the spec as it is read then; words that are not in it.
DISTRIBUTIONS = [
    pytest.param(("rhel 9", "dist .el9", "sysusers_create_compat() SYSUSERS %*", *FEDORA_MACROS),
                 ("Release: 1.el9", "Requires: python3-pyyaml >= 5.4", "Requires(pre): shadow-utils", "WHEEL", "INSTALL", f"POST {ALL_UNITS}",
                  f"PREUN {ALL_UNITS}", "RESTART waguard.service waguard-exporter.service", "waguard.sysusers",
                  "/usr/lib/python3.9/site-packages/waguard/", "SYSUSERS"),
                 ("groupadd", "systemctl preset", "pip wheel", "try-restart", "python311"), id="EL 9"),
    pytest.param(("azl 3", "dist .azl3", *FEDORA_MACROS),
                 ("Release: 1.azl3", "Requires: python3-PyYAML >= 5.4", "groupadd --system waguard", "useradd --system", f"POST {ALL_UNITS}", "INSTALL"),
                 ("SYSUSERS", "sysusers_create_compat", "pip install", "python3-pyyaml"), id="Azure Linux 3"),
    pytest.param(("suse_version 1500", "sle_version 150600", *SUSE_MACROS),
                 ("Release: 1.suse1500", "Requires: python311-PyYAML >= 5.4", "Requires: python311-systemd >= 234", "Requires(pre): shadow",
                  "/usr/bin/python3.11 -m pip wheel", f"PRE {ALL_UNITS}", f"POST {ALL_UNITS}", f"PREUN {ALL_UNITS}",
                  "RESTART waguard.service waguard-exporter.service", "groupadd --system waguard"),
                 ("shadow-utils", "WHEEL", "python3-", "try-restart", "systemctl --no-reload"), id="SLES 15"),
    pytest.param(("suse_version 1600", *SUSE_MACROS), ("Requires: python3-PyYAML >= 5.4", "/usr/bin/python3 -m pip wheel"), ("python311",),
                 id="SUSE 16"),
]
