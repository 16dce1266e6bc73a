"""Variants of the same bytes."""

from foundry.variants.same_bytes import twins


def test_a_later_variant_of_the_same_bytes_points_to_the_first() -> None:
    digests = {"onnx": ("a", "b"), "onnx_O1": ("b", "a"), "onnx_O2": ("a", "b"), "onnx_O3": ("a", "b")}
    assert twins(digests) == {"onnx_O2": "onnx", "onnx_O3": "onnx"}


def test_variants_without_files_are_not_the_same() -> None:
    assert twins({"onnx_O4": (), "onnx_O5": ()}) == {}
