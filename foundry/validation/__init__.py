"""The checks of a variant, their thresholds, and the verdict."""
