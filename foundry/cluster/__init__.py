"""The same stages on several machines, by Ray."""
