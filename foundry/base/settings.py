"""What every part of the schema is made of: mappings whose keys are all known, and the types of their values."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from foundry.base.errors import FoundryError

# A dot would break DVC's tracking of `section.key`, a slash its paths.
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Repo = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Share = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Empty(Section):
    """A row without settings."""


Settings = TypeVar("Settings", bound=Section)


def read(path: Path, schema: type[Settings]) -> Settings:
    """A stage's settings file, as `configure` wrote it.

    Raises:
        FoundryError: when it is not there, or is not what this version of the stage reads.
    """
    try:
        return schema.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise FoundryError(f"{path} is not there; run `dvc repro configure`, which writes it") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole file"
        raise FoundryError(f"{path}: {place}: {first['msg']}. Run `dvc repro configure`, which writes it") from error
