"""/etc/waguard/web.yml and the packaged exporter in its sandbox: TLS comes, rotates, and is never lost."""

from __future__ import annotations

from .guard import Guard
from .machine import Machine

FILE = "/etc/waguard/web.yml"
FOLDER = "/etc/waguard/tls"
EXPORTER = "waguard-exporter.service"


def certificate(machine: Machine) -> str:
    """A new one of its own, readable for the exporter. Returns its serial number."""
    machine.run(f"""mkdir -p {FOLDER} && cd {FOLDER} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout new.key -out new.pem 2>/dev/null &&
        chgrp waguard-exporter new.key && chmod 0640 new.key && mv new.key exporter.key && mv new.pem exporter.pem""")
    return machine.run(f"openssl x509 -noout -serial -in {FOLDER}/exporter.pem").out.strip()


def served(machine: Machine) -> str:
    """The serial number of the certificate that clients see now."""
    return machine.run("openssl s_client -connect 127.0.0.1:10168 </dev/null 2>/dev/null | openssl x509 -noout -serial").out.strip()


def status(machine: Machine) -> str:
    """Of a scrape over TLS; 000 if there is no answer."""
    return machine.run(f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 10 --cacert {FOLDER}/exporter.pem https://127.0.0.1:10168/metrics",
                       check=False).out.strip()


def test_the_packaged_exporter_reads_its_web_configuration(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    machine.wait_until(lambda: guard.metrics().get("waguard_guard_up") == 1.0, 30, "a scrape as it is shipped: plain")
    first = certificate(machine)
    machine.write(FILE, "tls_server_config: {cert_file: tls/exporter.pem, key_file: tls/exporter.key}\n")
    assert (status(machine), served(machine)) == ("200", first)
    second = certificate(machine)
    assert (status(machine), served(machine)) == ("200", second)
    assert second != first

    machine.write(FILE, "")
    assert status(machine) == "500"
    assert machine.run("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:10168/metrics").out == "400"
    machine.write(FILE, "tls_server_config: {cert_file: tls/exporter.pem, key_file: tls/exporter.key}\n")
    assert status(machine) == "200"

    machine.run(f"chown root:root {FOLDER}/exporter.key && chmod 0600 {FOLDER}/exporter.key")
    assert status(machine) == "500"
    assert "exporter.key cannot be read: Permission denied" in machine.journal("-u", EXPORTER)
    machine.run(["systemctl", "restart", EXPORTER], check=False)
    machine.wait_until(lambda: machine.show(EXPORTER, "Result")["Result"] == "exit-code", 30, "the exporter to refuse")
    machine.run(f"chgrp waguard-exporter {FOLDER}/exporter.key && chmod 0640 {FOLDER}/exporter.key")
    machine.run(["systemctl", "reset-failed", EXPORTER, "waguard-exporter.socket"], check=False)
    machine.run(["systemctl", "restart", "waguard-exporter.socket"])
    assert status(machine) == "200"
