"""Which variants are byte for byte the same, so that one stands for all of them in the benchmark and the report."""

from collections.abc import Mapping


def twins(digests: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """For each variant whose digest an earlier one has, the earlier one's name.

    A digest holds what makes two variants interchangeable, such as the SHA-256 of each weights file, and the backend
    where it matters what runs them. An empty digest, of a variant that has no files, equals no other.
    """
    first_with: dict[tuple[str, ...], str] = {}
    earlier: dict[str, str] = {}
    for variant, digest in digests.items():
        if digest and (first := first_with.setdefault(digest, variant)) != variant:
            earlier[variant] = first
    return earlier
