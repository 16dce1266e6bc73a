"""Optimize an exported ONNX graph: by one of optimum's levels, or with the fusions of a row."""

from pathlib import Path

from foundry.base import command, settings
from foundry.onnx import optimization
from foundry.onnx.settings import Optimize
from foundry.variants import variant_folder
from foundry.variants.settings import Build


def main(variant: str, settings_file: Path, onnx: Path, out: Path) -> None:
    build = settings.read(settings_file, Build[Optimize])
    if not variant_folder.skip_if_excluded(out, variant, onnx, build.skip):
        optimization.build(variant, onnx, build.row, out)


if __name__ == "__main__":
    command.run(main)
