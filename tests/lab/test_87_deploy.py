"""docs/deploy.md: what it shows for a fleet does what it says."""

from __future__ import annotations

import json
import re

from .lab import Lab
from .repobuild import TOP, Repository, version
from .repoclient import KEYRING, URL, all_run, serve

SCHEMA = "/srv/cloud-init/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
VALIDATE = f"""
import json, sys, jsonschema, yaml
schema = json.load(open("{SCHEMA}"))
for config in json.load(sys.stdin):
    jsonschema.Draft4Validator(schema).validate(yaml.safe_load(config))
    try:
        jsonschema.Draft4Validator(schema).validate({{**yaml.safe_load(config), "packages": 5}})
    except jsonschema.ValidationError:
        continue
    sys.exit("the schema lets everything pass")
"""


def test_what_deploy_md_shows_for_a_fleet_is_well_formed(packages_lab: Lab) -> None:
    """By cloud-init's own schema and Ansible's own reader."""
    shown = re.findall(r"^```yaml\n(.*?)^```$", (TOP / "docs/deploy.md").read_text(), re.MULTILINE | re.DOTALL)
    configs = [text for text in shown if text.startswith("#cloud-config\n")]
    (playbook,) = set(shown) - set(configs)
    assert len(configs) == 2
    with packages_lab.machine(agent=False, boot=False) as machine:
        machine.run(["python3", "-c", VALIDATE], stdin=json.dumps(configs))
        machine.write("/srv/waguard.yml", playbook)
        read = machine.run("cd /srv && ANSIBLE_LOCALHOST_WARNING=no ansible-playbook --syntax-check -i azure_vms, waguard.yml")
        assert "playbook: waguard.yml" in read.out and "ERROR" not in read.err, read


ASKED = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: >-
          {{ waguard_rpms }} {{ %s }}
"""


def test_the_play_does_what_a_person_would(packages_lab: Lab, repository: Repository) -> None:
    """On Debian, twice; and for others, what it makes of their names."""
    (playbook,) = re.findall(r"^```yaml\n(- name: waguard on every VM\n.*?)^```$", (TOP / "docs/deploy.md").read_text(), re.MULTILINE | re.DOTALL)
    (needs_epel,) = re.findall(r"name: EPEL.*?when: (.*?)\n", playbook, re.DOTALL)
    with packages_lab.machine() as machine:
        serve(machine, repository.path)
        machine.write("/srv/azure_vms", "[azure_vms]\nvm ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n")
        machine.write("/srv/waguard.yml", playbook)
        machine.write("/srv/asked.yml", ASKED % needs_epel + playbook[playbook.index("  vars:\n"):playbook.index("  tasks:\n")])
        for family, name, major, expected in (("RedHat", "AlmaLinux", "9", "el9 True"), ("RedHat", "RedHat", "9", "el9 True"),
                                              ("RedHat", "Fedora", "43", "fc43 False"), ("Suse", "SLES", "15", "suse1500 False"),
                                              ("Suse", "SLES", "16", "suse1600 False"), ("Debian", "Ubuntu", "24", "el24 False")):
            facts = {"ansible_os_family": family, "ansible_distribution": name, "ansible_distribution_major_version": major}
            said = machine.run(["ansible-playbook", "-i", "/srv/azure_vms", "-e", json.dumps(facts), "/srv/asked.yml"], timeout=60).out
            assert f'"msg": "{expected}"' in said, said
        for _ in range(2):
            ran = machine.run(["ansible-playbook", "-i", "/srv/azure_vms", "-e", f"waguard_url={URL}", "/srv/waguard.yml"], timeout=300)
            assert " unreachable=0 " in ran.out and " failed=0 " in ran.out, ran
        assert " changed=0 " in ran.out, ran
        all_run(machine, version())
        assert machine.read("/etc/waguard/conf.d/site.yaml") == "restart:\n  live_per_hour: 2\n"


def test_deploy_md_says_what_make_repo_says(repository: Repository) -> None:
    """Addresses and files of its commands are those of a repository as it is made."""
    text = (TOP / "docs/deploy.md").read_text()
    for path in re.findall(r"https://packages\.example/waguard/([\w./]+)", text):
        path = re.sub(r"^rpm/[^/]+", f"rpm/{next(repository.path.glob('rpm/*')).name}", path)
        assert (repository.path / path).exists(), path
    assert KEYRING in text and f"Signed-By: {KEYRING}" in (repository.path / "waguard.sources").read_text()
