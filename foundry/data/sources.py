"""Where models and texts come from: a folder or file of this machine, or one that an installed package ships."""

import importlib.util
from pathlib import Path

from foundry.base.errors import FoundryError
from foundry.data.settings import PackageSource, PathSource


def local_path(source: PathSource | PackageSource) -> Path:
    """The folder or file that a source names, without importing the package.

    A path is taken as it stands: `[`, `*` and `?` in it are characters of the name, never a pattern.

    Raises:
        FoundryError: when the package is not installed, or there is nothing at the path.
    """
    if isinstance(source, PathSource):
        path = Path(source.path).expanduser()
        if not path.exists():
            raise FoundryError(f"{path} does not exist (looked in {Path.cwd()})")
        return path
    path = _package_folder(source.package) / source.path
    if not path.exists():
        raise FoundryError(f"package {source.package} has no {source.path} (looked for {path})")
    return path


def local_file(source: PathSource | PackageSource) -> Path:
    """`local_path`, where only a file will do.

    Raises:
        FoundryError: as `local_path`, and for a folder or a device.
    """
    path = local_path(source)
    if not path.name.isprintable():
        raise FoundryError(f"{path.name!r} in {path.parent} has control characters in its name; rename it")
    if not path.is_file():
        raise FoundryError(
            f"{path} is {'a folder' if path.is_dir() else 'no plain file'}; the path of a file is expected"
        )
    return path


def local_folder(source: PathSource | PackageSource) -> Path:
    """`local_path`, where only a folder will do.

    Raises:
        FoundryError: as `local_path`, and for a file.
    """
    path = local_path(source)
    if not path.is_dir():
        raise FoundryError(f"{path} is a file; the path of a folder is expected")
    return path


def _package_folder(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):  # the package around a dotted name is missing, or the name is no name
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise FoundryError(
            f"package {package} is not installed. For the default model and texts: pip install '.[sample]'"
        )
    return Path(next(iter(spec.submodule_search_locations)))
