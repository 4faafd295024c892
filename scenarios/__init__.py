"""The chaos suite: one module for each family, each scenario a short declaration."""
