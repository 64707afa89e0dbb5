"""Knowledge of the real waagent: grammars, paths, versions. Pure: bytes and text in, values out; no I/O policy."""
