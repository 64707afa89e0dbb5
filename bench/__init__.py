"""Measurements of waguard. Nothing in here is installed on a VM."""
