"""Where a source is: paths as they stand, packages, and what is there instead of what was expected."""

from pathlib import Path

import pytest

from foundry.base.errors import FoundryError
from foundry.data import sources
from foundry.data.settings import PackageSource, PathSource


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    for name in ("t[1].csv", "t1.csv", "a*b.txt"):
        (tmp_path / name).write_text("text\n")
        assert sources.local_file(PathSource(path=str(tmp_path / name))) == tmp_path / name
    with pytest.raises(FoundryError, match=r"t\?\.csv does not exist \(looked in "):
        sources.local_file(PathSource(path=str(tmp_path / "t?.csv")))


def test_a_file_of_a_package_without_importing_it() -> None:
    path = sources.local_path(PackageSource(package="foundry.data", path="sources.py"))
    assert path == Path(sources.__file__)


@pytest.mark.parametrize(
    "package", ["no_such_package", "no_such_package.inside", "foundry.nothing", "json.decoder", ""]
)
def test_a_package_that_is_not_installed(package: str) -> None:
    with pytest.raises(FoundryError, match=f"package {package} is not installed"):
        sources.local_path(PackageSource(package=package, path="x"))


def test_a_package_without_the_file() -> None:
    with pytest.raises(FoundryError, match=r"package foundry has no not/there \(looked for "):
        sources.local_path(PackageSource(package="foundry", path="not/there"))


def test_a_folder_in_place_of_a_file_and_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(FoundryError, match=r"x\.csv is a folder; the path of a file is expected"):
        sources.local_file(PathSource(path=str(tmp_path / "x.csv")))
    (tmp_path / "beir").write_text("")
    with pytest.raises(FoundryError, match="beir is a file; the path of a folder is expected"):
        sources.local_folder(PathSource(path=str(tmp_path / "beir")))
