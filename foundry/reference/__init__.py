"""Torch's frozen embeddings and scores, and how closeness to them is computed."""
