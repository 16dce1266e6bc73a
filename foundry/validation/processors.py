"""The verdict on a variant for processors of the other family than this one.

Sums of int8 products saturate on x86 processors without VNNI, and on no others (`foundry.int8.saturation`). So that the
verdict holds where a file runs, and not only where it was validated, a graph with products that can saturate is also
computed as the other family computes it.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from foundry.base import files
from foundry.data.labelled import Task
from foundry.int8.saturation import MARGIN, Pairs, Ranges
from foundry.loading import loader
from foundry.loading.variant import LoadedVariant
from foundry.loading.watching import Outputs, watch_outputs
from foundry.reference.reference import Reference
from foundry.validation import checks, measurements, results
from foundry.validation.results import FAMILIES, Check, Family, OnProcessor, Saturation
from foundry.validation.settings import ValidateVariant
from foundry.variants import naming, variant_folder

INTEGER_PRECISIONS = ("int8_dynamic", "int8_static")
# Saturated sums change what later layers see, and with it which pairs saturate; each round adds those.
ROUNDS = 4


class ProcessorTrial:
    """One variant, the texts and thresholds that it is compared by, and a scratch folder for its graphs."""

    def __init__(
        self,
        folder: Path,
        variant: str,
        texts: Sequence[str],
        tasks: Mapping[str, Task],
        expected: Reference,
        settings: ValidateVariant,
        scratch: Path,
    ) -> None:
        self._folder, self._variant, self._texts, self._tasks = folder, variant, texts, tasks
        self._expected, self._settings, self._scratch = expected, settings, scratch
        self.runtime = runtime_of(variant)
        self.graph = self.runtime.IntegerGraph(variant_folder.weights_path(folder, variant), scratch)

    def load(self, pairs: Mapping[str, Pairs]) -> LoadedVariant:
        """The variant with exact sums, but for those of the given pairs, by product."""
        folder = self._scratch / "variant"
        with files.replacing_folder(folder) as partial:
            self.graph.write(variant_folder.prepare(partial, self._folder, self._variant), pairs)
        return loader.load(folder, self._variant, {"model_kwargs": exact_kwargs(self._variant)})

    def measure(self, pairs: Mapping[str, Pairs], ranges: Ranges) -> tuple[list[Check], LoadedVariant]:
        """The checks of closeness of the variant with these pairs, and the variant; the ranges are added to."""
        loaded = self.load(pairs)
        tensors = {product.tokens for product in self.graph.products}

        def add(outputs: Outputs) -> None:
            ranges.add_outputs(outputs, tensors)

        watch_outputs(loaded, add)
        return self.closeness(loaded), loaded

    def closeness(self, loaded: LoadedVariant) -> list[Check]:
        """The checks that say how close a variant is to torch: those of texts alone, which see what tasks would see."""
        measured = measurements.measure_closeness(loaded, self._texts, self._expected, self._settings.batch_size)
        return checks.closeness_checks(measured, self._expected, self._settings.thresholds)

    def all_checks(self, loaded: LoadedVariant) -> list[Check]:
        """Every check, as of the variant itself."""
        measured = measurements.measure(
            loaded, list(self._texts), self._tasks, self._expected, self._settings.batch_size
        )
        return checks.all_checks(measured, self._expected, self._settings.thresholds)

    def pairs(self, ranges: Ranges, margin: int = 0) -> dict[str, Pairs]:
        """The pairs that can saturate within the ranges, widened by `margin`, by product."""
        return {product.output: ranges.pairs(product.tokens, product.weight, margin) for product in self.graph.products}

    def saturated(self, ranges: Ranges) -> tuple[list[Check], LoadedVariant]:
        """The checks of closeness with saturating sums, and the variant; `ranges` are those with exact sums.

        Repeated until no sum saturates that was computed exactly.
        """
        for _ in range(ROUNDS):
            pairs = self.pairs(ranges, MARGIN)
            seen = Ranges()
            result = self.measure(pairs, seen)
            if all(pairs[name].includes(risky) for name, risky in self.pairs(seen).items()):
                break
            ranges.add_all(seen)
        return result


def runtime_of(variant: str) -> ModuleType:
    """The module that knows how products of a variant's runtime saturate."""
    if naming.backend(variant) == "onnx":
        from foundry.onnx import saturation as onnx_saturation

        return onnx_saturation
    from foundry.openvino import saturation as openvino_saturation

    return openvino_saturation


def exact_kwargs(variant: str) -> dict[str, Any]:
    """What loads a variant so that no sum saturates, as Sentence Transformers' `model_kwargs`."""
    if naming.backend(variant) == "openvino":
        return {"ov_config": dict(runtime_of(variant).EXACT)}
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*naming.EXACT_SUMS)
    return {"session_options": options}


def same_everywhere(checks_here: Sequence[Check]) -> dict[Family, OnProcessor]:
    """The verdicts where no sum saturates: those of this machine."""
    return {family: verdict(checks_here, "same") for family in FAMILIES}


def verdict(family_checks: Sequence[Check], how: Any, made_again: Sequence[Check] = ()) -> OnProcessor:
    """The verdict by all checks of a family, of which those in `made_again` are its own."""
    passed = all(check["passed"] for check in family_checks)
    return {"verdict": "passed" if passed else "failed", "how": how, "checks": list(made_again)}


def judge(
    folder: Path,
    variant: str,
    texts: Sequence[str],
    tasks: Mapping[str, Task],
    expected: Reference,
    settings: ValidateVariant,
    checks_here: Sequence[Check],
) -> tuple[dict[Family, OnProcessor], Saturation | None]:
    """The verdict for each family of processors, and what is known of the sums; `checks_here` are those of the variant
    as it runs on this machine."""
    if settings.precision not in INTEGER_PRECISIONS or naming.backend(variant) == "torch":
        return same_everywhere(checks_here), None
    with tempfile.TemporaryDirectory() as scratch:
        trial = ProcessorTrial(folder, variant, texts, tasks, expected, settings, Path(scratch))
        saturation: Saturation = {
            "products": trial.graph.product_count,
            "can_saturate": len(trial.graph.products),
            "saturate": 0,
            "largest_sum": 0,
            "unknown": list(trial.graph.unknown),
        }
        if not trial.graph.products and not trial.graph.unknown:
            return same_everywhere(checks_here), saturation
        ranges = Ranges()
        own_checks, loaded = trial.measure({}, ranges)
        risky = trial.pairs(ranges).values()
        saturation["saturate"] = sum(len(pairs) > 0 for pairs in risky)
        saturation["largest_sum"] = max((pairs.largest_sum for pairs in risky), default=0)
        if not saturation["saturate"] and not trial.graph.unknown:
            return same_everywhere(checks_here), saturation
        here: Family = "avx2" if trial.runtime.saturates_here() else "vnni"
        if here == "vnni":
            if trial.graph.unknown:
                return {"vnni": verdict(checks_here, "measured"), "avx2": UNKNOWN}, saturation
            own_checks, loaded = trial.saturated(ranges)
        other: Family = "vnni" if here == "avx2" else "avx2"
        failed_here = any(not check["passed"] for check in checks_here)
        if failed_here and all(check["passed"] for check in own_checks):
            own_checks = trial.all_checks(loaded)
        merged = results.with_replaced(checks_here, own_checks)
        verdicts = {here: verdict(checks_here, "measured"), other: verdict(merged, "simulated", own_checks)}
        return {family: verdicts[family] for family in FAMILIES}, saturation


UNKNOWN: OnProcessor = {"verdict": "unknown", "how": "simulated", "checks": []}
