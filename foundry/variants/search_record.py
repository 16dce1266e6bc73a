"""The shape of search.json: what a search for a budget tried."""

from typing import TypedDict


class Trial(TypedDict):
    """One graph that a search for a budget built and measured."""

    setting: str
    in_float: list[str]
    texts: int  # fewer where one part alone was measured
    mean_cosine: float
    min_cosine: float
    mean_centred_cosine: float
    recall_at_10: float
    task_ratio: float | None
    holds: bool
    estimated_speed: float  # of the products, against all in floating point
    measured_speed: float | None  # of the whole, against the exported graph


class Search(TypedDict):
    """search.json of a variant with a budget."""

    budget: dict[str, float]
    chosen: str | None  # the setting
    in_float: list[str]
    stopped: str | None  # which limit ended it
    trials: list[Trial]
