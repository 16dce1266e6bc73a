"""The error for what the user can repair."""


class FoundryError(Exception):
    """A mistake that the user can repair. Its message says what came, what was expected, and what to do."""
