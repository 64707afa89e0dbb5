"""A machine that has its packages from a repository: over HTTP on its own loopback, and from nowhere else."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

from .machine import Machine, Ran
from .repobuild import TOP

PORT = 8084
URL = f"http://127.0.0.1:{PORT}"
PLACE = "/srv/repo"
KEYRING = "/etc/apt/keyrings/waguard.asc"
UNITS = ("waguard.service", "waguard-exporter.service", "waguard-exporter.socket", "waguard-doctor.socket")


def lay(machine: Machine, repository: Path) -> None:
    """Puts the repository, as it is now, in the place of what the machine's web server shows."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(repository, ".")
    machine.run(f"rm -rf {PLACE}; mkdir -p {PLACE}; tar -x --no-same-owner -C {PLACE}", stdin=packed.getvalue())


def serve(machine: Machine, repository: Path) -> None:
    """Shows the repository, and takes all other sources away from apt, dnf and zypper."""
    lay(machine, repository)
    machine.run(["systemd-run", "--unit=repository", "--quiet", "python3", "-m", "http.server", str(PORT), "--bind=127.0.0.1",
                 f"--directory={PLACE}"])
    machine.run("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/yum.repos.d/* /etc/zypp/repos.d/*")
    machine.wait_until(lambda: machine.run(["curl", "-fsS", f"{URL}/waguard.asc"], check=False).rc == 0, 20, "the web server to answer")


def documented(system: str, directory: str = "") -> list[str]:
    """The commands that docs/deploy.md has for one VM of `system`, for this repository, and with yes to each question.

    `directory`: of the rpms, in place of the one in the text. What a distribution needs of its own first is left out.
    """
    text = (TOP / "docs/deploy.md").read_text()
    _, _, text = text.partition("\n## 2. One VM\n")[2].partition(f"\n{system}")
    lines = text.partition("```\n")[2].partition("```\n")[0].splitlines()
    assert len(lines) > 2, system
    answers = {"sudo ": "", "https://packages.example/waguard": URL, "/el9/": f"/{directory}/", "/suse1500/": f"/{directory}/",
               "apt-get install": "apt-get install --yes", "dnf install": "dnf --assumeyes --releasever=1 install",
               "zypper ": "zypper --non-interactive "}
    for shown, real in answers.items():
        lines = [line.replace(shown, real) for line in lines]
    return [line for line in lines if "epel-release" not in line]


def apt(machine: Machine, *words: str, check: bool = True) -> Ran:
    """As a fleet's tool would run it: nobody there to answer a question. An answer that is needed is an error."""
    return machine.run(["apt-get", "--yes", "--quiet", "--no-install-recommends", *words], check=check, timeout=180)


def lab_base(where: Path, package: Path) -> Path:
    """An rpm that says it has whatever `package` asks for: what the machine has indeed, but as Debian's packages."""
    asked = subprocess.run(["rpm", "-qp", "--nosignature", "--requires", package], check=True, capture_output=True, text=True).stdout
    provided = {line.replace(">=", "=") for line in asked.splitlines() if not line.startswith(("rpmlib(", "config("))}
    spec = where / "lab-base.spec"
    spec.write_text("Name: lab-base\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n"
                    + "".join(f"Provides: {name}\n" for name in sorted(provided)) + "%description\nx\n%files\n")
    subprocess.run(["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {where}/rpmbuild", spec], check=True, capture_output=True)
    (built,) = (where / "rpmbuild/RPMS/noarch").glob("*.rpm")
    return built


def send(machine: Machine, package: Path) -> str:
    """Where it is in the machine."""
    inside = f"/var/tmp/{package.name}"
    machine.write(inside, package.read_bytes())
    return inside


def all_run(machine: Machine, now: str) -> None:
    """Each unit of the package is there in this version and answers."""
    for unit in UNITS:
        assert machine.show(unit, "ActiveState")["ActiveState"] == "active", unit
    assert json.loads(machine.run(["waguardctl", "status", "--json"]).out)["result"]["guard"]["version"] == now
    assert f'waguard_build_info{{version="{now}"}} 1.0' in machine.run(["curl", "-sS", "http://127.0.0.1:10168/metrics"]).out
