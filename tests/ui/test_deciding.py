"""What to deploy, by the same uses as `foundry recommend`."""

from typing import Any

import pytest

from foundry.base.errors import FoundryError
from foundry.commands.recommend import Use
from foundry.reporting import advice, recommendation
from foundry.ui import deciding
from foundry.ui.deciding import Results


def results(requests: object) -> Results:
    """As much of a benchmark as a recommendation looks at here."""
    benchmark: Any = {"machine": {}, "requests": requests, "groups": {}, "other_load": None}
    validations: Any = {"torch": {"facts": {}}}
    return Results(**{**dict.fromkeys(Results._fields), "validations": validations, "benchmark": benchmark})


def test_the_page_has_every_use_of_the_command() -> None:
    assert set(deciding.USES) == {*Use}
    pytest.importorskip("gradio")
    from foundry.ui import decide_tab

    assert set(decide_tab.USES.values()) == {*Use}


def test_requests_at_a_load_need_no_group_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommendation, "on_machine", lambda validations, machine: validations)
    monkeypatch.setattr(recommendation, "by_requests", lambda benchmark, validations, budget: ("by requests", budget))
    monkeypatch.setattr(deciding.other_load, "describe", lambda load: "idle")
    monkeypatch.setattr(advice, "advise", lambda answer, folder, facts: [str(answer)])
    assert deciding.recommend(results({"per_second": 5, "other_load": None}), "m", "requests", 0.01, None) == [
        "idle",
        "('by requests', 0.01)",
    ]
    with pytest.raises(FoundryError, match="no requests were measured"):
        deciding.recommend(results(None), "m", "requests", 0.01, None)
