"""The rate budget: one behaviour, counted in Redis for all processes or in this process alone."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from dgbot.core.errors import RateLimited
from trading.exchanges.budget import Budget, Limit, Limits, LocalBudget
from trading.exchanges.shared_budget import SharedBudget

pytestmark = pytest.mark.contracts

# Refilled so slowly that nothing comes back while a test runs.
LIMITS = Limits(
    exchange="toy",
    groups={"order": Limit(10, 0.001), "quotes": Limit(10, 0.001, is_per_account=False), "swift": Limit(2, 50)},
    unknown=Limit(2, 0.001),
)


@dataclass
class Shop:
    """Makes budgets that count together, and keeps what was slept."""

    make: Callable[[str], Budget]
    slept: list[float] = field(default_factory=list)


@pytest.fixture
def client(servers):
    client = redis.Redis.from_url(settings.CACHE_URL)
    yield client
    for key in client.scan_iter("dgbot:budget:toy:*"):
        client.delete(key)


@pytest.fixture(params=["local", "shared"])
def shop(request, client) -> Shop:
    local = LocalBudget(LIMITS, share=1.0)
    if request.param == "local":
        return Shop(make=lambda owner: local)
    return Shop(make=lambda owner: SharedBudget(LIMITS, owner=owner, client=client, local=LocalBudget(LIMITS)))


def taken(budget: Budget, group: str, *, is_order: bool) -> int:
    count = 0
    while count < 1000:
        try:
            budget.acquire(group, is_order=is_order)
        except RateLimited:
            return count
        count += 1
    raise AssertionError("the budget has no end")


def test_orders_may_take_the_whole_bucket_and_then_none(shop):
    assert taken(shop.make("a"), "order", is_order=True) == 10


def test_reads_leave_a_part_of_the_bucket_to_orders(shop):
    budget = shop.make("a")

    assert taken(budget, "order", is_order=False) == 7
    assert taken(budget, "order", is_order=True) == 3


def test_a_refusal_says_how_long_to_wait(shop):
    budget = shop.make("a")
    taken(budget, "order", is_order=True)

    with pytest.raises(RateLimited, match="nothing was sent") as caught:
        budget.acquire("order", is_order=True)

    assert caught.value.retry_after_s == pytest.approx(1000, rel=0.05)


def test_a_group_the_exchange_never_told_of_has_a_limit_too(shop):
    assert taken(shop.make("a"), "never heard of", is_order=True) == 2


def test_a_short_wait_is_waited_out(shop):
    budget = shop.make("a")

    for _ in range(6):
        budget.acquire("swift", is_order=True)


def test_what_the_exchange_says_is_left_wins_when_it_is_less(shop):
    budget = shop.make("a")
    budget.learned("order", remaining=2)

    assert taken(budget, "order", is_order=True) == 2


def test_what_the_exchange_says_never_adds_requests(shop):
    budget = shop.make("a")
    taken(budget, "order", is_order=True)
    budget.learned("order", remaining=9)

    assert taken(budget, "order", is_order=True) == 0


def test_a_ban_of_a_group_stops_its_orders_and_nothing_else(shop):
    budget = shop.make("a")
    budget.banned(seconds=60, group="order")

    assert taken(budget, "order", is_order=True) == 0
    budget.acquire("quotes")


def test_a_ban_of_everything_stops_everything(shop):
    budget = shop.make("a")
    budget.banned(seconds=60)

    assert taken(budget, "order", is_order=True) == 0
    assert taken(budget, "quotes", is_order=False) == 0


def test_a_shorter_ban_does_not_end_a_longer_one(shop):
    budget = shop.make("a")
    budget.banned(seconds=60)
    budget.banned(seconds=0.001)

    with pytest.raises(RateLimited) as caught:
        budget.acquire("order", is_order=True)

    assert caught.value.retry_after_s > 50


def test_two_processes_of_one_account_share_its_requests_and_another_account_has_its_own(client):
    def make(owner):
        return SharedBudget(LIMITS, owner=owner, client=client, local=LocalBudget(LIMITS))

    assert taken(make("a"), "order", is_order=True) + taken(make("a"), "order", is_order=True) == 10
    assert taken(make("b"), "order", is_order=True) == 10


def test_accounts_share_what_is_counted_by_address(client):
    def make(owner):
        return SharedBudget(LIMITS, owner=owner, client=client, local=LocalBudget(LIMITS))

    assert taken(make("a"), "quotes", is_order=True) + taken(make("b"), "quotes", is_order=True) == 10


def test_without_redis_each_process_counts_its_conservative_share():
    nobody = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))
    budget = SharedBudget(LIMITS, owner="a", client=nobody, local=LocalBudget(LIMITS, share=0.2))

    assert taken(budget, "order", is_order=True) == 2


def test_a_ban_holds_when_redis_goes_away_after_it(client):
    budget = SharedBudget(LIMITS, owner="a", client=client, local=LocalBudget(LIMITS))
    budget.banned(seconds=60)
    budget.client = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))

    assert taken(budget, "order", is_order=True) == 0
