"""Fetching a checkpoint, and checking all of it before anything is built: structure, code, weights, tokenizer."""
