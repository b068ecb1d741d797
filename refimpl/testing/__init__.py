"""Golden files, comparers, tolerances, strategies: for us and for other codes."""
