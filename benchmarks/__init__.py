"""Measurements of this project that the pipeline itself does not make. Each prints JSON."""
