"""The support bundle: what is taken of a machine, with no secret in it."""
