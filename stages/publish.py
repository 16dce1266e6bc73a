"""Publish what passed, as a folder or to the Hugging Face Hub."""

from pathlib import Path

from foundry.base import command, files, settings
from foundry.base.progress import say
from foundry.publishing import publishing
from foundry.publishing.settings import PublishModel


def main(
    model: str,
    settings_file: Path,
    folder: Path,
    validation: Path,
    report: Path,
    reference: Path,
    validation_texts: Path,
    out: Path,
    receipt: Path,
) -> None:
    target = settings.read(settings_file, PublishModel)
    inputs = (settings_file.parents[1], reference)
    result = publishing.publish(model, target, folder, validation, report, reference, validation_texts, out, inputs)
    files.write_json(receipt, result)
    say(f"{model}: {len(result['published'])} variants in {result['address'] or out}")
    for name, reason in result["left_out"].items():
        say(f"  left out: {name}, {reason}")


if __name__ == "__main__":
    command.run(main)
