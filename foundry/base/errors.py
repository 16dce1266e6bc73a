"""The error that a person can mend."""


class FoundryError(Exception):
    """A mistake that the user can mend. Its text says what came, what was expected, and what to do."""
