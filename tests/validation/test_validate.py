"""Every check by itself, on arrays with known answers and on the tiny model; test_damage.py has the real one."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.reference.between_sides import OtherSide
from foundry.reference.closeness import directions
from foundry.reference.reference import Reference
from foundry.validation import checks, consistency, parity, quality, results, verdict
from foundry.validation.measurements import Measurements
from foundry.validation.settings import Thresholds
from foundry.variants import variant_folder
from foundry.variants.facts import Facts
from tests.support.projects import ROOT, TINY_VARIANTS
from tests.support.results import LOOSE
from tests.support.stages import validate_in

RANDOM = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)


def failed(check_results: list[results.Check]) -> set[str]:
    return {row["check"] for row in check_results if not row["passed"]}


@pytest.mark.parametrize("variant", TINY_VARIANTS)
def test_untouched_variants_pass(project: Callable[..., Path], tiny: Path, variant: str) -> None:
    result = validate_in(project(), tiny, variant, tiny / variant)
    assert result["verdict"] == "passed", results.why_failed(result["checks"])
    assert result["files"] == dict(variant_folder.hashes(tiny / variant))
    assert result["texts"] == 48
    assert len(result["worst"]) == 10
    assert {"mean_cosine", "hard_min_cosine", "consistency_min_cosine", "recall_at_10", "task_ratio_own"} <= {
        row["check"] for row in result["checks"]
    }


def test_on_failure_stop_ends_with_an_error_after_the_result_is_written(
    project: Callable[..., Path], tiny: Path
) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["validate"]["on_failure"] = "stop"
        raw["validate"]["overrides"]["onnx_O2"] = {"max_abs_diff": 1e-12}

    root = project(change)
    with pytest.raises(FoundryError, match=r"onnx_O2 failed, and validate.on_failure is stop: max_abs_diff"):
        validate_in(root, tiny, "onnx_O2", tiny / "onnx_O2")
    assert json.loads((root / "validation/tiny/onnx_O2.json").read_text())["verdict"] == "failed"


def test_what_does_not_load_fails_and_says_why(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny / "onnx", tmp_path / "damaged")
    path = variant_folder.weights_path(folder, "onnx")
    path.write_bytes(path.read_bytes()[:5000])
    result = validate_in(project(), tiny, "onnx", folder)
    assert result["verdict"] == "failed"
    assert "does not load" in str(result["reason"])


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("sentence_bert_config.json", {"max_seq_length": 16}, {"different_tokens", "different_max_length"}),
        ("tokenizer_config.json", {"do_lower_case": False}, {"different_tokens"}),
    ],
)
def test_with_other_tokens_than_torchs_its_checks_say_so(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, name: str, change: dict[str, Any], expected: set[str]
) -> None:
    """No tokenizer could be published with it, so that the runtime has none to be tried with."""
    folder = Path(shutil.copytree(tiny / "onnx", tmp_path / "onnx"))
    files.write_json(folder / name, files.read_json(folder / name) | change)
    result = validate_in(project(), tiny, "onnx", folder)
    assert (result["verdict"], result["reason"], result["runtime"]) == ("failed", None, None)
    assert expected <= {check["check"] for check in result["checks"] if not check["passed"]}


def test_skipped_is_neither_passed_nor_failed(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    variant_folder.skip(tmp_path / "skipped", "onnx_O2", "no such fusion")
    result = validate_in(project(), tiny, "onnx_O2", tmp_path / "skipped")
    assert (result["verdict"], result["reason"], result["checks"]) == ("skipped", "no such fusion", [])


# --- Checks on arrays with known answers


def test_each_threshold_decides() -> None:
    assert not failed(parity.closeness(RANDOM, RANDOM, LOOSE))
    one_turned = RANDOM.copy()
    one_turned[7] = -one_turned[7]
    assert failed(parity.closeness(one_turned, RANDOM, LOOSE)) == {"min_cosine", "p1_cosine", "max_abs_diff"}


def test_nan_never_passes_and_is_no_number_in_the_file() -> None:
    poisoned = RANDOM.copy()
    poisoned[3, 2] = np.nan
    check_results = [*parity.values(poisoned, RANDOM), *parity.closeness(poisoned, RANDOM, LOOSE)]
    assert {"non_finite_values", "mean_cosine", "min_cosine", "max_abs_diff"} <= failed(check_results)
    assert next(row["value"] for row in check_results if row["check"] == "mean_cosine") is None
    assert verdict.worst_texts([str(i) for i in range(50)], poisoned, RANDOM)[0]["text"] == "3"


@pytest.mark.parametrize("width", [4, 9])
def test_another_width_fails(width: int) -> None:
    assert failed(parity.values(np.ones((50, width)), RANDOM)) == {"different_dimensions"}


def test_the_worst_context_decides() -> None:
    cosines = {"batch_of_8": np.array([1.0, 1.0]), "batch_of_32": np.array([0.8, 0.9])}
    check_results = consistency.batches(cosines, changed_values=3, limits=LOOSE)
    assert {row["check"]: row["value"] for row in check_results} == {
        "consistency_mean_cosine": pytest.approx(0.85),
        "consistency_min_cosine": pytest.approx(0.8),
        "values_changed_on_repeat": 3,
    }
    assert failed(check_results) == {"consistency_mean_cosine", "consistency_min_cosine", "values_changed_on_repeat"}


def test_active_dimensions_are_those_in_both_of_those_in_either() -> None:
    torch = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    same = parity.active_dimensions(torch * 0.5, torch, LOOSE)
    assert (same["value"], same["passed"]) == (1.0, True)
    other = parity.active_dimensions(np.array([[1.0, 0.0, 3.0, 0.0], [0.0] * 4]), torch, LOOSE)
    assert other["value"] == pytest.approx((1 / 3 + 1) / 2)
    assert not other["passed"]


# --- A model whose embeddings all point much the same way

DEFAULTS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["validate"]["thresholds"]


def anisotropic(common: float) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (200, 64) of ten kinds of texts to which a vector of length `common` was added, and what a quantizer
    makes of them that loses a quarter of what tells them apart."""
    generator = np.random.default_rng(3)
    kinds = np.repeat(generator.normal(size=(10, 63)), 20, axis=0)
    rows = directions(kinds + generator.normal(size=(200, 63)))
    noise = 0.25 * generator.normal(size=rows.shape) / np.sqrt(63)
    expected, changed = (np.hstack([part, np.full((200, 1), common)]) for part in (rows, rows + noise))
    return directions(changed).astype(np.float32), directions(expected).astype(np.float32)


@pytest.mark.parametrize("common", [2.0, 5.0])
def test_the_centred_cosine_fails_where_the_plain_one_flatters(common: float) -> None:
    limits = Thresholds.model_validate(DEFAULTS["int8_dynamic"])
    embeddings, torch = anisotropic(common)
    assert not failed(parity.closeness(embeddings, torch, limits))
    measured, expected = measured_and_expected(RANDOM)
    expected = dataclasses.replace(expected, embeddings=torch, hard_embeddings=torch[:9])
    measured = dataclasses.replace(measured, embeddings=embeddings, hard_embeddings=embeddings[:9], scores={})
    found = failed(checks.all_checks(measured, expected, limits))
    assert {"mean_centred_cosine", "p5_centred_cosine", "p1_centred_cosine"} <= found


def test_of_a_model_whose_embeddings_are_much_alike(project: Callable[..., Path], tiny: Path) -> None:
    """The tiny model's own are at 0.98 for different texts, which hides most of what dynamic int8 loses."""
    variant = "onnx_qint8_avx512"
    root = project(lambda raw: raw["validate"].update(overrides={}))
    result = validate_in(root, tiny, variant, tiny / variant)
    by_name = {row["check"]: row for row in result["checks"]}
    assert by_name["mean_cosine"]["passed"]
    assert by_name["mean_cosine"]["value"] > 0.99
    # How much it loses depends on the processor; how much of that the mean hides does not.
    centred_loss = 1 - by_name["mean_centred_cosine"]["value"]
    assert centred_loss > 5 * (1 - by_name["mean_cosine"]["value"])
    assert quality.quality_loss(result["checks"]).share >= centred_loss


def test_the_loss_of_quality_is_the_same_however_much_all_embeddings_have_in_common() -> None:
    limits = Thresholds.model_validate(DEFAULTS["int8_dynamic"])
    lost = {}
    for common in (0.0, 2.0, 5.0):
        embeddings, torch = anisotropic(common)
        measured, expected = measured_and_expected(RANDOM)
        expected = dataclasses.replace(expected, embeddings=torch, hard_embeddings=torch[:9])
        measured = dataclasses.replace(measured, embeddings=embeddings, hard_embeddings=embeddings[:9], scores={})
        rows = checks.all_checks(measured, expected, limits)
        lost[common] = quality.losses(rows)
    for measure in ("centred cosine", "neighbours"):
        assert lost[2.0][measure] == pytest.approx(lost[0.0][measure], rel=0.1)
        assert lost[5.0][measure] == pytest.approx(lost[0.0][measure], rel=0.1)


# --- All checks together


def measured_and_expected(embeddings: np.ndarray) -> tuple[Measurements, Reference]:
    """A variant that gives these embeddings where torch gives RANDOM, and is the same model otherwise."""
    facts: Facts = {
        "kind": "SentenceTransformer", "max_seq_length": 64, "similarity": "cosine", "prompts": {},
        "truncate_dim": None, "trust_remote_code": False, "modules": [],
    }  # fmt: skip
    expected = Reference(
        embeddings=RANDOM[:40], hard_texts={"empty": ""}, hard_embeddings=RANDOM[40:], tokens=[[1]], facts=facts,
        scores={"sts": 0.8}, vocabulary_size=10, batch_size=32, offsets=[],
        scripts={"texts": {"Latin": 40}, "vocabulary": {"Latin": 10}},
    )  # fmt: skip
    measured = Measurements(
        embeddings=embeddings[:40], hard_embeddings=embeddings[40:], passages=None, counts=[], hard_counts=[],
        tokens=[[1]], facts=facts, missing_inputs=(), batch_cosines={"batch_of_8": np.ones(3)}, scores={"sts": 0.8},
    )  # fmt: skip
    return measured, expected


def test_the_same_embeddings_pass_every_check() -> None:
    check_results = checks.all_checks(*measured_and_expected(RANDOM), LOOSE)
    assert not failed(check_results)
    assert {"different_tokens", "mean_cosine", "hard_min_cosine", "recall_at_10", "task_ratio_sts"} <= {
        check["check"] for check in check_results
    }


@pytest.mark.parametrize("role", ["query", "document"])
def test_one_side_of_a_router_is_compared_with_the_other(role: Any) -> None:
    measured, expected = measured_and_expected(RANDOM)
    names = {"between_sides_recall_at_10", "between_sides_order"}
    assert not names & {check["check"] for check in checks.all_checks(measured, expected, LOOSE)}
    # The other side's texts lie along one direction, on which the own side's hardly differ.
    along = np.outer(np.linspace(-1, 1, 40), np.eye(RANDOM.shape[1])[0]).astype(np.float32)
    expected = dataclasses.replace(expected, other_side=OtherSide(role, RANDOM[::-1][:40] * 0.1 + along, {}))
    same = {check["check"]: check for check in checks.all_checks(measured, expected, LOOSE)}
    assert [same[name]["value"] for name in sorted(names)] == pytest.approx([1.0, 1.0])
    other = np.random.default_rng(5).normal(size=RANDOM.shape).astype(np.float32)
    lost = checks.all_checks(dataclasses.replace(measured, embeddings=other[:40]), expected, LOOSE)
    assert names <= failed(lost)
    closeness_alone = checks.closeness_checks(measured, expected, LOOSE)
    assert names <= {check["check"] for check in closeness_alone}
    assert quality.losses(lost)["documents of queries"] > 0.1


def test_embeddings_of_another_width_are_compared_no_further() -> None:
    check_results = checks.all_checks(*measured_and_expected(np.ones((50, 9), dtype=np.float32)), LOOSE)
    assert failed(check_results) == {"different_dimensions"}
    assert check_results[-1]["check"] == "non_finite_values"


def test_embeddings_that_are_not_finite_rank_nothing() -> None:
    poisoned = RANDOM.copy()
    poisoned[3, 2] = np.nan
    check_results = checks.all_checks(*measured_and_expected(poisoned), LOOSE)
    assert {"non_finite_values", "min_cosine"} <= failed(check_results)
    assert check_results[-1]["check"] == "values_changed_on_repeat"


def test_what_differs_from_the_source_is_counted() -> None:
    measured, expected = measured_and_expected(RANDOM)
    facts: Facts = {**expected.facts, "max_seq_length": 32, "prompts": {"query": "q: "}, "truncate_dim": 4}
    changed = dataclasses.replace(measured, tokens=[[2]], facts=facts, missing_inputs={"token_type_ids"})
    counts = {check["check"]: check["value"] for check in checks.all_checks(changed, expected, LOOSE)}
    assert [counts[name] for name in ("different_tokens", "different_max_length", "different_modules")] == [1, 1, 0]
    assert (counts["different_settings"], counts["inputs_not_given"]) == (2, 1)
