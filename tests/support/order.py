"""The order of the tests: the longest first, so that the workers of pytest-xdist end together."""

from collections.abc import Callable
from typing import TypeVar

Item = TypeVar("Item")

# A test, or all of a file that take a minute or more, the longest first: seconds of processor time, on two cores.
LONGEST = (
    "tests/test_pipeline.py::test_through_real_processes_the_same_bytes",
    "tests/publishing/test_publish.py::test_the_real_model_every_file_loads_by_its_documented_name",
    "tests/test_pipeline.py::test_three_models_of_different_kinds_build_together",
    "tests/commands/test_workflows.py::test_the_weeks",
    "tests/export/test_architectures.py::test_a_line_is_what_comes_out[CrossEncoder-modernbert]",
    "tests/onnx/test_calibrate_onnx.py::test_the_real_model_keeps_its_embedding_in_every_batch",
    "tests/export/test_architectures.py::test_a_line_is_what_comes_out[SentenceTransformer-gemma3_text]",
    "tests/cluster/test_cluster.py",
    "tests/export/test_architectures.py",
    "tests/validation/test_damage.py::test_sentence_transformers_own_static_recipe",
    "tests/validation/test_damage.py::test_dynamic_int8_changes_with_the_batch_and_carries_a_warning",
    "tests/tracking/test_reproduction.py",
    "tests/commands/test_recommend.py::test_it_measures_on_the_users_own_texts_and_the_lines_load",
)


def longest_first(items: list[Item], name: Callable[[Item], str], workers: int) -> list[Item]:
    """The same items: first the longest of them, the others in the order in which they stand.

    pytest-xdist gives each worker an equal part of the list, in order, before workers take from each other's end. So
    each part starts with its share of the longest.
    """
    ranks = {id(item): _rank(name(item)) for item in items}
    longest = sorted((item for item in items if ranks[id(item)] < len(LONGEST)), key=lambda item: ranks[id(item)])
    others = [item for item in items if ranks[id(item)] == len(LONGEST)]
    ordered: list[Item] = []
    for worker in range(workers):
        share = longest[worker::workers]
        end = len(items) * (worker + 1) // workers - len(ordered) - len(share)
        ordered += share + others[: max(end, 0)]
        others = others[max(end, 0) :]
    return ordered + others


def _rank(name: str) -> int:
    return next((rank for rank, prefix in enumerate(LONGEST) if name.startswith(prefix)), len(LONGEST))
