"""Holding a store against the limits that its adapter declares: processes, clocks, and what goes on the certificate."""
