"""Made from the code, when a package is built: man pages, completion for three shells, docs/configuration.md.

No program imports anything from in here.
"""
