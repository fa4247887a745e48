"""A copy is answered for all that shares its verdict: one lost receipt must not cost an answer for each packet."""

from __future__ import annotations

import pytest

from gateway.core.ranges import STORED, Verdicts


@pytest.mark.parametrize(
    ("number", "run"),
    [
        (0, (0, 9, STORED)),
        (9, (0, 9, STORED)),
        (10, (10, 10, "overlap")),
        (11, None),
        (12, (12, 40, STORED)),
        (41, None),
    ],
)
def test_the_run_of_a_number(number: int, run: tuple[int, int, str] | None) -> None:
    verdicts = Verdicts([(0, 9, STORED), (10, 10, "overlap"), (12, 40, STORED)])
    assert verdicts.run(number) == run


def test_nothing_has_a_verdict_at_first() -> None:
    assert Verdicts().run(0) is None
