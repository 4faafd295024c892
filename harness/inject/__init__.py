"""Faults: what they are, where they strike, and how they are taken back.

Each fault is a frozen dataclass that can be written down, described in words and struck again. What calls into a store
while a fault strikes is the business of `harness.run.live`.
"""
