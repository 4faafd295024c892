"""How fast the harness is, measured against the store's own calls.

`python -m benchmarks` runs all, `python -m benchmarks NAME` one. A figure that depends on the machine is
worth little, so each table gives ratios whose two sides were measured in turns, in one run. Processor
time counts, because machines are shared. docs/PERFORMANCE.md says what is aimed for and what came out.
"""
