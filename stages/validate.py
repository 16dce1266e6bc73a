"""Compare one variant with the frozen reference of torch in every way that counts, and give a verdict."""

from pathlib import Path

from foundry.base import command, files, settings
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.data import texts
from foundry.loading import loader
from foundry.reference import reference
from foundry.validation import results, verdict
from foundry.validation.settings import ValidateVariant

STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow", "not computed": "yellow"}


def main(
    variant: str,
    settings_file: Path,
    folder: Path,
    reference_folder: Path,
    validation_texts: Path,
    tasks: Path,
    precisions: Path,
    out: Path,
) -> None:
    limits = settings.read(settings_file, ValidateVariant)
    selected = [row["text"] for row in texts.read(validation_texts)]
    expected = reference.read(reference_folder)
    computed = files.read_json(precisions)
    result = verdict.validate(
        folder, variant, selected, files.read_json(tasks), expected, limits, computed["precisions"], computed["cuda"]
    )
    files.write_json(out, result)
    why = results.why_failed(result["checks"]) or result["reason"]
    if result["verdict"] == "passed" and (failing := results.families_that_fail(result)):
        why = "; ".join(f"but not on processors {results.FAMILIES[name]}: {reason}" for name, reason in failing.items())
    say(f"{variant}: ", (result["verdict"], STYLES[result["verdict"]]), f" {why}" if why else "")
    if left_out := results.left_out(result):
        say(f"{variant}: ", ("not tried", "yellow"), f" for want of memory: {left_out}")
    for name, judged in result["precisions"].items():
        reason = f" {judged['reason']}" if judged["reason"] else ""
        say(f"{variant} in {name}: ", (judged["verdict"], STYLES[judged["verdict"]]), reason)
    for name, judged in result["cuda"].items():
        reason = f" {judged['reason']}" if judged["reason"] else ""
        say(f"{variant} in {name} on cuda: ", (judged["verdict"], STYLES[judged["verdict"]]), reason)
    if result["verdict"] == "failed" and limits.on_failure == "stop":
        raise FoundryError(f"{variant} failed, and validate.on_failure is stop: {why}")


if __name__ == "__main__":
    command.run(main, libraries=loader.all_libraries())
