"""Store the weights of the OpenVINO graph in fewer bits; nothing else in it is quantized."""

from pathlib import Path

from foundry.base import command, settings
from foundry.openvino import compression
from foundry.openvino.settings import Compress
from foundry.variants import variant_folder
from foundry.variants.settings import Build


def main(variant: str, settings_file: Path, openvino: Path, out: Path) -> None:
    build = settings.read(settings_file, Build[Compress])
    if not variant_folder.skip_if_excluded(out, variant, openvino, build.skip):
        compression.build(variant, openvino, build.row, out)


if __name__ == "__main__":
    command.run(main)
