"""The query table: what each configuration reaches and costs, and which one a budget buys."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DynamicSegLib.budget import Budget
from DynamicSegLib.errors import BudgetError
from DynamicSegLib.query_table import (
    QueryRow,
    choose,
    from_plain,
    pareto_front,
    rank_correlation,
    spread,
    to_plain,
)


def _row(name: str, macs: int, quality: float, milliseconds: float | None = None) -> QueryRow:
    return QueryRow(name, 1.0, None, macs, macs, {"WT": quality}, {}, milliseconds)


ROWS = (_row("a", 100, 0.5, 2.0), _row("b", 300, 0.8, 3.0), _row("c", 200, 0.4, 1.0), _row("d", 400, 0.8, 9.0))


def test_quality_is_the_mean_dice_over_the_structures() -> None:
    row = QueryRow("a", 1.0, None, 1, 1, {"WT": 0.9, "TC": 0.8, "ET": 0.4})

    assert row.quality == pytest.approx(0.7)


def test_the_front_holds_what_nothing_cheaper_reaches() -> None:
    # c costs more than a and reaches less; d costs more than b and reaches no more.
    assert [row.name for row in pareto_front(ROWS)] == ["a", "b"]


def test_the_front_of_time_differs_from_that_of_macs() -> None:
    assert [row.name for row in pareto_front(ROWS, lambda row: row.milliseconds or 0.0)] == ["c", "a", "b"]


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=30))
def test_nothing_beats_a_row_of_the_front_and_the_front_beats_all_others(values: list[tuple[int, float]]) -> None:
    rows = [_row(str(place), macs, quality) for place, (macs, quality) in enumerate(values)]

    front = pareto_front(rows)

    assert all(a.macs < b.macs and a.quality < b.quality for a, b in pairwise(front))
    for row in rows:
        assert any(best.macs <= row.macs and best.quality >= row.quality for best in front)


def test_a_spread_keeps_both_ends_and_is_even_in_the_logarithm_of_cost() -> None:
    front = [_row(name, macs, macs / 1e4) for name, macs in (("a", 1), ("b", 9), ("c", 12), ("d", 50), ("e", 100))]

    assert [row.name for row in spread(front, 3)] == ["a", "b", "e"]  # 10 is nearest to 9
    assert [row.name for row in spread(front, 9)] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        ("1000", "a"),  # ten slices of a
        ("2999", "a"),  # c fits too, and is worse
        ("3000", "b"),
        ("4000", "b"),  # d fits and is no better: the cheaper of equals
        ("75%", "b"),  # of ten slices of d
        ("0.03s", "b"),
        ("0.029s", "a"),
        ("0.01s", "c"),
    ],
)
def test_a_budget_buys_the_best_configuration_that_fits_all_slices(budget: str, name: str) -> None:
    assert choose(ROWS, Budget.parse(budget), slices=10).name == name


def test_a_budget_below_the_cheapest_names_the_smallest_possible() -> None:
    with pytest.raises(BudgetError, match=r"1,000"):
        choose(ROWS, Budget.parse("999"), slices=10)
    with pytest.raises(BudgetError, match=r"0\.01 s"):
        choose(ROWS, Budget.parse("0.009s"), slices=10)
    row = _row("a", 1, 0.5, 5.011)
    with pytest.raises(BudgetError, match=r"possible is 0\.06 s"):
        choose([row], Budget.parse("0.05s"), slices=10)
    assert choose([row], Budget.parse("0.06s"), slices=10) is row


def test_a_budget_in_seconds_needs_a_table_with_milliseconds() -> None:
    with pytest.raises(BudgetError, match="no milliseconds"):
        choose([_row("a", 1, 0.5)], Budget.parse("5s"), slices=1)


def test_rows_survive_json() -> None:
    rows = (
        QueryRow("0.50x-144", 0.5, 144, 10, 20, {"WT": 0.9}, {"WT": 5.5}, 1.25),
        QueryRow("1.00x-whole", 1.0, None, 30, 40, {"WT": 0.95}),
    )

    assert from_plain(json.loads(json.dumps(to_plain(rows)))) == rows


def test_rank_correlation_is_that_of_ranks_with_ties_at_their_mean() -> None:
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    # ranks 1 2 3 4 and 1 2.5 2.5 4: covariance 4.5 / sqrt(5 x 4.5)
    assert rank_correlation([1, 2, 3, 4], [1, 5, 5, 7]) == pytest.approx(4.5 / (5 * 4.5) ** 0.5)
