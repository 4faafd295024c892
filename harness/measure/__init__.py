"""Measuring: loads, closed loops, the bare disk beside them, distributions, and what decides against a limit.

Everything here is a pure function over numbers, or takes its clock from outside, so that tests need no real time. The
processes in which it runs are started by `harness.run.measured`.
"""
