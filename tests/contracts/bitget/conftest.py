"""A fake Bitget with one market and one account, and the exchange as this account sees it."""

from collections.abc import Iterator

import pytest

from tests.contracts.bitget.stage import RAW, connected
from tests.fakes.bitget import FakeAccount, FakeBitget
from trading.exchanges.bitget import BitgetExchange


@pytest.fixture
def fake() -> Iterator[FakeBitget]:
    with FakeBitget() as fake:
        fake.open_market(RAW)
        yield fake
        assert fake.disagreements() == []


@pytest.fixture
def account(fake: FakeBitget) -> FakeAccount:
    return fake.add_account()


@pytest.fixture
def exchange(fake: FakeBitget, account: FakeAccount) -> BitgetExchange:
    return connected(fake, account)
