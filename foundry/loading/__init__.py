"""The one way to load a variant, with one class for every kind of model, and the tokens that a model reads."""
