"""Embedding Foundry's stages: one small script per stage of dvc.yaml, run as `python -m stages.<stage>`."""
