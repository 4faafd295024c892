"""Live faults: a workload, one fault after another, and what a client sees of each.

`engines` says which engines there are; each turns a workload into faults and tries one of them at a time. The
`explorer` runs inside a worker, `telling` makes findings of what it found.
"""
