"""Is it right? Oracles and certification: pure functions over values."""
