"""Workloads: what is done with a store while it is recorded."""
