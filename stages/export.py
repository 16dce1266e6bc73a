"""Export a checkpoint to ONNX or OpenVINO, and compare the graph with torch on a few texts at once."""

from pathlib import Path

from foundry.base import command, settings
from foundry.export import exporting
from foundry.export.settings import Format, OnnxExport
from foundry.variants import variant_folder
from foundry.variants.settings import Build


def main(format: Format, settings_file: Path, torch: Path, out: Path) -> None:
    build = settings.read(settings_file, Build[OnnxExport])
    if not variant_folder.skip_if_excluded(out, format, torch, build.skip):
        exporting.build(format, torch, build.row, out)


if __name__ == "__main__":
    command.fix_hashes()
    command.run(main)
