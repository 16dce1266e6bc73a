"""What every part of the schema is made of: a mapping whose keys are all known, and the types of its values."""

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

# A dot would break DVC's tracking of `section.key`, a slash its paths.
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


Repo = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]


Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


Share = Annotated[float, Field(gt=0, le=1)]


Fraction = Annotated[float, Field(ge=0, le=1)]


Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A mapping in params.yaml whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Empty(Section):
    """A row without settings."""
