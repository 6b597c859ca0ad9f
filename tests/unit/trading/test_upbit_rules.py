from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dgbot.core.errors import BadInput
from trading.exchanges import upbit_rules
from trading.exchanges.upbit_rules import rules

D = Decimal
YEAR = {year: datetime(year, 6, 1, tzinfo=UTC) for year in range(2020, 2027)}


@pytest.mark.parametrize(
    ("symbol", "at", "price", "tick"),
    [
        ("KRW-BTC", YEAR[2026], "100000000", "1000"),
        ("KRW-BTC", YEAR[2026], "1000000", "1000"),
        ("KRW-BTC", YEAR[2023], "1999500", "500"),
        ("KRW-ETH", YEAR[2026], "999999", "500"),
        ("KRW-SOL", YEAR[2026], "220000", "100"),
        ("KRW-XRP", YEAR[2026], "3000", "1"),
        ("KRW-XRP", YEAR[2026], "700", "1"),
        ("KRW-XRP", YEAR[2024], "700", "0.1"),
        ("KRW-XRP", YEAR[2023], "3000", "5"),
        ("KRW-XRP", YEAR[2023], "700", "1"),
        ("KRW-ADA", YEAR[2024], "700", "0.1"),
        ("KRW-ADA", datetime(2024, 11, 1, tzinfo=UTC), "700", "1"),
        ("KRW-USDT", YEAR[2025], "1400", "0.5"),
        ("KRW-USDT", YEAR[2026], "1400", "1"),
        ("KRW-SHIB", YEAR[2026], "0.015", "0.0001"),
        ("KRW-SHIB", YEAR[2023], "0.015", "0.0001"),
        ("KRW-SHIB", YEAR[2024], "0.015", "0.00001"),
        ("KRW-PEPE", YEAR[2026], "0.000000001", "0.00000001"),
    ],
)
def test_the_tick_is_that_of_the_day(symbol: str, at: datetime, price: str, tick: str) -> None:
    assert rules(symbol, at).tick(D(price)) == D(tick)


def test_a_new_grid_holds_from_the_korean_day_on() -> None:
    assert rules("KRW-XRP", datetime(2025, 7, 30, 14, 59, tzinfo=UTC)).tick(D(700)) == D("0.1")
    assert rules("KRW-XRP", datetime(2025, 7, 30, 15, 0, tzinfo=UTC)).tick(D(700)) == D(1)


@pytest.mark.parametrize("at", YEAR.values())
def test_every_positive_price_has_a_tick_and_bands_fall(at: datetime) -> None:
    bands = rules("KRW-BTC", at).tick_bands

    assert bands[-1][0] == 0
    assert list(bands) == sorted(bands, reverse=True)


def test_lot_and_minimum_are_upbits() -> None:
    found = rules("KRW-BTC", YEAR[2026])

    assert (found.base, found.quote, found.lot_step, found.minimum_total) == ("BTC", "KRW", D("0.00000001"), D(5000))


@pytest.mark.parametrize("symbol", ["BTC", "USDT-BTC", "KRW-", "KRW-btc", "krw-BTC", "ETH/USDT:USDT", "KRW-B TC"])
def test_another_market_is_refused(symbol: str) -> None:
    with pytest.raises(BadInput, match="no KRW market"):
        rules(symbol, YEAR[2026])


@pytest.mark.parametrize(("symbol", "count"), [("KRW-BTC", 3), ("KRW-USDT", 4), ("KRW-SAND", 4)])
def test_the_history_of_a_market_names_each_grid_once(symbol: str, count: int) -> None:
    history = upbit_rules.history(symbol)

    assert len(history) == count
    assert history[0][0] is None
    for since, then in history[1:]:
        assert since is not None
        assert then == upbit_rules.rules(symbol, since)
        assert then != upbit_rules.rules(symbol, since - timedelta(seconds=1))
