"""From a trace to crash states: what a disk may hold after power fails, and how to build it."""
