"""The stages of dvc.yaml on several machines at once, by Ray."""
