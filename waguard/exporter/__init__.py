"""waguard-exporter: the unprivileged Prometheus face; reads the status socket and nothing else."""
