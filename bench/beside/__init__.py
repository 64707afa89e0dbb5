"""`make bench`: waguard and what people would use instead, measured side by side in one run, in the lab.

    figures.py     what was measured, against what, and what of it is good enough (pure)
    vm.py          one machine of the lab with the agent, the guard and the peers: what they use, what they are asked
    peers.py       the peers: how each is set up to do the same work, and how it is seen that it did
    inside/        programs that run in the machine, on its own Python
    recovery.py, hang.py, scraping.py, footprint.py, following.py, growth.py, commands.py, bundle.py, startup.py
                   one measurement each
    report.py      the table, and docs/performance.md (pure); plots.py: the curves

Figures are ratios of one run. A peer that did not do the work is not compared with: NotDone.
"""
