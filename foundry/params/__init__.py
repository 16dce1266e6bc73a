"""The schema of params.yaml, the rules between its sections, and what holds for one model."""
