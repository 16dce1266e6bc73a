"""Compare one variant with the torch embeddings on the frozen texts, and give a verdict against the thresholds.

It measures and says. A variant that fails is a result, not an error: the others go on, and `publish` leaves it out.
"""

from pathlib import Path

import numpy as np

from stages.shared import command, files, loader, models, params, results, texts
from stages.shared.embeddings import EMBEDDINGS, cosines
from stages.shared.params import Thresholds
from stages.shared.progress import say


def check(name: str, value: float, threshold: float, at_least: bool) -> results.Check:
    """One measured value against its threshold; what is not a number never passes."""
    passed = bool(value >= threshold if at_least else value <= threshold)
    return {
        "check": name,
        "value": float(value) if np.isfinite(value) else None,
        "threshold": threshold,
        "relation": ">=" if at_least else "<=",
        "passed": passed,
    }


def compare(embeddings: np.ndarray, reference: np.ndarray, thresholds: Thresholds) -> list[results.Check]:
    """Every parity check of embeddings (texts, dimensions) against the reference of the same shape."""
    shape = check("dimensions", embeddings.shape[-1], reference.shape[-1], at_least=True)
    shape["passed"] = embeddings.shape == reference.shape
    finite = check("non_finite_values", float((~np.isfinite(embeddings)).sum()), 0, at_least=False)
    if not shape["passed"]:
        return [shape, finite]
    cosine = cosines(embeddings, reference)
    return [
        shape,
        finite,
        check("mean_cosine", cosine.mean(), thresholds.mean_cosine, at_least=True),
        check("p1_cosine", np.percentile(cosine, 1), thresholds.p1_cosine, at_least=True),
        check("min_cosine", cosine.min(), thresholds.min_cosine, at_least=True),
        check("max_abs_diff", np.abs(embeddings - reference).max(), thresholds.max_abs_diff, at_least=False),
    ]


def validate(
    folder: Path, variant: str, chosen: list[str], reference: np.ndarray, settings: params.Params
) -> results.Validation:
    """The checks of one variant, on the bytes whose hashes stand beside them."""
    base: results.Validation = {
        "variant": variant,
        "precision": settings.precision(variant),
        "verdict": "skipped",
        "reason": models.skipped(folder),
        "texts": len(chosen),
        "checks": [],
        "files": {},
    }
    if base["reason"] is not None:
        return base
    # Hashed before the file is loaded: what changes in between does not match afterwards, and is not published.
    base["files"] = dict(models.hashes(folder))
    try:
        model = loader.load(folder, variant)
        embeddings = model.encode(chosen, batch_size=settings.validate_.batch_size, convert_to_numpy=True)
    except loader.load_errors() as error:
        return {
            **base,
            "verdict": "failed",
            "reason": f"it does not load or run: {error}".splitlines()[0][:500],
        }
    checks = compare(embeddings, reference, settings.thresholds(variant))
    return {
        **base,
        "checks": checks,
        "verdict": "passed" if all(row["passed"] for row in checks) else "failed",
    }


def main(variant: str, folder: Path, reference: Path, validation: Path, out: Path) -> None:
    settings = params.read()
    chosen = [row["text"] for row in texts.read(validation)]
    result = validate(folder, variant, chosen, np.load(reference / EMBEDDINGS), settings)
    files.write_json(out, result)
    style = {"passed": "green", "failed": "bold red", "skipped": "yellow"}[result["verdict"]]
    say(f"{variant}: [{style}]{result['verdict']}[/] {results.why_failed(result) or result['reason'] or ''}")


if __name__ == "__main__":
    command.run(main)
