"""Where models and texts come from: a folder or file of this machine, or one that an installed package ships."""

import importlib.util
from pathlib import Path

from foundry.base.errors import FoundryError
from foundry.data.settings import PackageSource, PathSource


def local_path(source: PathSource | PackageSource) -> Path:
    """The folder or file that a source names, without importing the package.

    Raises:
        FoundryError: when the package is not installed, or nothing stands at the path.
    """
    if isinstance(source, PathSource):
        path = Path(source.path).expanduser()
        if not path.exists():
            raise FoundryError(f"{path} does not exist (looked in {Path.cwd()})")
        return path
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise FoundryError(
            f"package {source.package} is not installed. For the default model and texts: pip install '.[sample]'"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / source.path
    if not path.exists():
        raise FoundryError(f"package {source.package} has no {source.path} (looked for {path})")
    return path
