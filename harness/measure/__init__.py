"""Measuring: latencies, costs, and how two versions of a store compare. Pure functions over samples."""
