"""What a run tells of itself: spans for OpenTelemetry, numbers for Prometheus. By default nobody listens.

Both are made in the process of the harness alone, from values that cross rooms anyway; the processes that run a store
open no socket and start no thread for them.
"""
