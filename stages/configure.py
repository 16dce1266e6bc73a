"""Write the settings file of every stage of every model, so that a changed setting reruns what it touches."""

from pathlib import Path

from foundry.base import command, files
from foundry.base.progress import say
from foundry.params import reading, resolving


def main(params: Path, out: Path) -> None:
    settings = reading.read(params)
    with files.replacing_folder(out) as partial:
        for model in settings.models:
            for name, value in resolving.model_settings(settings, model).items():
                # Without what is not set: a search tries other values of what a row leaves open.
                written = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
                files.write_json(partial / model / f"{name}.json", written)
        files.write_json(partial / "report.json", resolving.report_settings(settings).model_dump(mode="json"))
    say(f"{len(settings.models)} models, {len(settings.variant_names)} variants each")


if __name__ == "__main__":
    command.run(main)
