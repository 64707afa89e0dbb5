"""The lab: a real systemd, the real waagent and a stand-in for the Azure fabric on one Linux machine.

It answers what no unit test can: does the guard bring back *this* agent under *this* service manager? Nothing in here
reaches beyond the machine, but for Debian packages while the root is built.

    root.py        one Debian root, built once and cached
    copies.py      a throw-away copy of it a machine
    machine.py     such a copy, booted by systemd-nspawn
    fabric.py      168.63.129.16, 169.254.169.254 and a storage in a network namespace of the machine, and their moods
    wireserver.py  the program that answers there (goalstate.py: the documents it serves)
    dhcp.py        Azure's DHCP there, for machines that shall have it (dhcpserver.py: the program)
    extensions.py  what the fabric can ask the agent to install: handler/, under the name of Azure Backup's
    conffiles.py   makes waagent.confs of every kind; confreader.py: has the agent's own parser read them
    agent.py       waagent in a machine: its processes, its files, its signs of life
    guard.py       waguard in a machine; doctor.py: its doctor, and how a finding is proved
    disk.py        a small file system that can be frozen
    lab.py         makes machines for tests; conftest.py: the fixtures
    artefacts.py   what is kept of a test that failed, in lab-artefacts/

`make lab` runs it all; `prepare.sh` installs what the host needs.
"""
