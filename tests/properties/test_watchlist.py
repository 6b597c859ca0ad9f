"""What a price touches, told from two bounds a market, is what looking at every position would tell."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading.domain.watchlist import Guarded, Market, Watchlist

prices = st.integers(1, 60).map(Decimal)
levels = st.none() | prices
positions = st.lists(st.tuples(levels, levels), max_size=12)
BTC = Market("upbit", "KRW-BTC")


def listed(given_levels: list[tuple[Decimal | None, Decimal | None]]) -> tuple[Watchlist, list[Guarded]]:
    rows = [Guarded(key, 1, stop, above) for key, (stop, above) in enumerate(given_levels)]
    return Watchlist.of((BTC, row) for row in rows), rows


@given(positions, prices)
def test_a_price_touches_whom_it_reaches_and_nobody_else(given_levels: list[tuple[Decimal | None, Decimal | None]], price: Decimal) -> None:
    watchlist, rows = listed(given_levels)

    touched = list(watchlist.markets[BTC].touched(price)) if rows else []

    assert touched == [row for row in rows if (row.stop or 0) >= price or (row.above is not None and row.above <= price)]


@given(positions, st.sets(st.integers(0, 11)), prices)
def test_what_was_dropped_is_touched_by_nothing(
    given_levels: list[tuple[Decimal | None, Decimal | None]], dropped: set[int], price: Decimal
) -> None:
    watchlist, rows = listed(given_levels)

    watchlist.drop(set(dropped))

    assert len(watchlist) == len([row for row in rows if row.key not in dropped])
    if rows:
        assert not {row.key for row in watchlist.markets[BTC].touched(price)} & dropped


def test_a_market_whose_exits_are_on_their_way_is_still_watched() -> None:
    assert Watchlist.of([(BTC, None)]).markets[BTC].rows == []
