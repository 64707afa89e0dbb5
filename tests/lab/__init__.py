"""The lab: a real systemd, the real waagent and a stand-in for the Azure fabric on one Linux machine.

It answers what no unit test can: does the guard bring back *this* agent under *this* service manager? Nothing in here
reaches beyond the machine, but for Debian packages while the root is built.

    root.py        one Debian root, built once and cached
    copies.py      a throw-away copy of it a machine
    machine.py     such a copy, booted by systemd-nspawn
    fabric.py      168.63.129.16 and 169.254.169.254 in a network namespace of the machine, and their moods
    wireserver.py  the program that answers there (goalstate.py: the documents it serves)
    agent.py       waagent in a machine: its processes, its files, its signs of life
    disk.py        a small file system that can be frozen
    lab.py         makes machines for tests; conftest.py: the fixtures
    artefacts.py   what is kept of a test that failed, in lab-artefacts/

`make lab` runs it all; `prepare.sh` installs what the host needs.
"""
