"""What a fleet of VMs with waguard costs a Prometheus: a simulated fleet, a real Prometheus, and docs/fleet.md of what came out.

    life.py        what happens to one VM, and the snapshot that its guard would give
    body.py        that snapshot as waguard's own exposition, rendered once and patched at each scrape
    server.py      all VMs behind one listening socket: /vm/NUMBER/metrics
    prometheus.py  one real Prometheus and its promtool, out of Debian's package
    blocks.py      bytes a sample on the disk
    measure.py     one run: a fleet, a Prometheus, the shipped rules
    sizing.py      what follows for 10,000 and 100,000 VMs
    report.py      docs/fleet.md
    __main__.py    `make fleet`
"""
