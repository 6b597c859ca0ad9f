"""Long lists: pages cut along their order, filters and search through indexes, totals exact or unknown, files of the filtered rows."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dgbot.accounts.models import User
from dgbot.base import adding_up, exporting
from monitoring.models import SystemLog
from tests import face_rows as rows
from trading.models import Bot, Decision, Order, Trade

pytestmark = pytest.mark.django_db
PAGE = 50


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(rows.user(is_superuser=True))
    return client


def address(model: Any, what: str = "changelist") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}")


def shown(answer: Any) -> list[int]:
    return [row.pk for row in answer.context["cl"].result_list]


def trades(bot: Bot, count: int, *, step: timedelta = timedelta(minutes=1)) -> list[int]:
    """Newest first."""
    return [rows.trade(bot, at=rows.T0 + number * step).pk for number in range(count)][::-1]


def test_pages_follow_each_other_without_gap_or_repeat_even_through_equal_times(boss: Client) -> None:
    bot = rows.bot(rows.user())
    wanted = trades(bot, 60, step=timedelta(0)) + trades(bot, 0)
    later = [rows.trade(bot, at=rows.T0 + timedelta(hours=1)).pk for _ in range(60)][::-1]

    seen, url = [], address(Trade)
    while url:
        answer = boss.get(url)
        seen += shown(answer)
        older = answer.context["cl"].page_urls["older"]
        url = older and address(Trade) + older

    assert seen == later + wanted


def test_the_newer_page_is_the_one_that_was_left(boss: Client) -> None:
    wanted = trades(rows.bot(rows.user()), 2 * PAGE + 5)
    second = boss.get(address(Trade) + boss.get(address(Trade)).context["cl"].page_urls["older"])

    back = boss.get(address(Trade) + second.context["cl"].page_urls["newer"])
    oldest = boss.get(address(Trade) + back.context["cl"].page_urls["oldest"])

    assert shown(second) == wanted[PAGE : 2 * PAGE]
    assert shown(back) == wanted[:PAGE]
    assert shown(oldest) == wanted[-PAGE:]
    assert not oldest.context["cl"].page_urls["older"]


@pytest.mark.parametrize("cursor", ["older=nonsense", "newer=1~2~3", "older=2026-01-01T00:00:00~5", "older=~", "bot=abc"])
def test_a_parameter_that_means_nothing_leads_back_to_the_list(boss: Client, cursor: str) -> None:
    rows.bot(rows.user())

    answer = boss.get(f"{address(Trade)}?{cursor}")

    assert (answer.status_code, answer.url) == (302, f"{address(Trade)}?e=1")


def test_filters_keep_what_they_say(boss: Client) -> None:
    owner = rows.user()
    wanted, other = rows.bot(owner), rows.bot(owner, symbol="KRW-ETH")
    bought = rows.trade(wanted)
    sold = rows.trade(wanted, at=rows.T0 + timedelta(days=1), side="sell", reason="stop")
    elsewhere = rows.trade(other)

    def found(query: str) -> set[int]:
        return set(shown(boss.get(f"{address(Trade)}?{query}")))

    assert found(f"bot={wanted.pk}") == {bought.pk, sold.pk}
    assert found("symbol=KRW-ETH") == {elsewhere.pk}
    assert found("exit_reason=stop") == {sold.pk}
    assert found("since=2026-01-06&until=2026-01-06") == {sold.pk}
    assert found("mode=live") == set()
    assert found("period=today") == set()


def test_a_filter_begins_at_the_newest_row(boss: Client) -> None:
    trades(rows.bot(rows.user()), PAGE + 1)
    second = boss.get(address(Trade) + boss.get(address(Trade)).context["cl"].page_urls["older"])

    links = [choice["query_string"] for spec in second.context["cl"].filter_specs for choice in spec.choices(second.context["cl"])]

    assert links
    assert not [link for link in links if "older" in link]


def test_a_search_finds_a_whole_id_or_the_beginning_of_a_symbol(boss: Client) -> None:
    bot = rows.bot(rows.user(), symbol="KRW-XRP")
    wanted, other = rows.trade(bot), rows.trade(rows.bot(rows.user()))

    assert shown(boss.get(f"{address(Trade)}?q={wanted.exchange_trade_id}")) == [wanted.pk]
    assert shown(boss.get(f"{address(Trade)}?q=krw-x")) == [wanted.pk]
    assert shown(boss.get(f"{address(Trade)}?q={other.exchange_trade_id[:-1]}")) == []


def test_an_operator_finds_nobody_elses_trade(client: Client) -> None:
    mine, theirs = rows.bot(rows.user()), rows.bot(rows.user())
    rows.trade(mine)
    hidden = rows.trade(theirs)
    client.force_login(mine.user)

    assert shown(client.get(f"{address(Trade)}?q={hidden.exchange_trade_id}")) == []
    assert shown(client.get(f"{address(Trade)}?bot={theirs.pk}")) == []
    assert hidden.exchange_trade_id.encode() not in b"".join(client.get(address(Trade, "export_csv")))


@pytest.mark.parametrize("term", ["limit near", "LIM", "order=12", "krw-btc", "0.3", "'quoted' \\ & | ! :*"])
def test_log_lines_are_found_by_their_words(boss: Client, term: str) -> None:
    text = "a limit is near: order=12 of KRW-BTC lost 0.3 % 'quoted' \\ & | ! :*"
    wanted = SystemLog.objects.create(level="warning", message=text, created_at=rows.T0)
    SystemLog.objects.create(level="info", message="something else", created_at=rows.T0)

    assert shown(boss.get(address(SystemLog), {"q": term})) == [wanted.pk]


def test_totals_are_those_of_the_filtered_rows(boss: Client) -> None:
    bot = rows.bot(rows.user())
    rows.trade(bot)
    rows.trade(bot, side="sell", price="110000000")
    rows.trade(rows.bot(rows.user()))

    answer = boss.get(f"{address(Trade)}?bot={bot.pk}")

    told = {str(label): str(value) for label, value in answer.context["cl"].head.totals.items}
    assert told["Rows"] == "2"
    assert "50,000 KRW" in told["Bought"]
    assert "55,000 KRW" in told["Sold"]


def test_totals_of_too_many_rows_are_unknown_rather_than_wrong(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    trades(rows.bot(rows.user()), 3)
    monkeypatch.setattr(adding_up.grouped, "__kwdefaults__", {"sums": None, "most": 2})

    found = boss.get(address(Trade)).context["cl"].head.totals

    assert not found.items
    assert "Unknown" in found.unknown


def test_a_file_holds_exactly_the_filtered_rows(boss: Client) -> None:
    bot = rows.bot(rows.user())
    wanted = trades(bot, 5)
    rows.trade(rows.bot(rows.user()))

    text = b"".join(boss.get(f"{address(Trade, 'export_csv')}?bot={bot.pk}")).decode("utf-8-sig")

    lines = list(csv.DictReader(io.StringIO(text)))
    assert [int(line["id"]) for line in lines] == wanted
    assert lines[0]["price"] == "100000000"
    assert lines[0]["created_at"] == "2026-01-05T03:04:00+00:00"


def test_a_file_read_in_chunks_is_the_same(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    trades(rows.bot(rows.user()), 7, step=timedelta(0))
    whole = b"".join(boss.get(address(Trade, "export_csv")))
    monkeypatch.setattr("dgbot.base.history.CHUNK", 2)

    assert b"".join(boss.get(address(Trade, "export_csv"))) == whole


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_nothing_in_a_file_is_run_as_a_formula(boss: Client, start: str) -> None:
    from openpyxl import load_workbook

    SystemLog.objects.create(level="info", message=f"{start}cmd|' /C calc'!A0", created_at=rows.T0)

    sheet = load_workbook(io.BytesIO(b"".join(boss.get(address(SystemLog, "export_excel"))))).active
    text = b"".join(boss.get(address(SystemLog, "export_csv"))).decode("utf-8-sig")

    [cell] = [row[3] for row in sheet.iter_rows(min_row=2)]
    assert cell.data_type == "s"
    assert cell.value.startswith("'")
    assert next(csv.DictReader(io.StringIO(text)))["message"].startswith("'" + start)


def test_an_excel_file_of_too_many_rows_is_refused_with_the_remedy(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    trades(rows.bot(rows.user()), 3)
    monkeypatch.setattr(exporting, "MOST_EXCEL_ROWS", 2)

    answer = boss.get(address(Trade, "export_excel"), follow=True)

    assert "more than 2 rows match" in answer.content.decode()


QUERIES = {
    Trade: ["", "mode=simulated", "symbol=KRW-BTC", "exit_reason=stop", "side=sell&symbol=KRW-ETH", "period=30d", "newer=end", "q=t17"],
    Order: [
        "",
        "status=failed",
        "mode=live",
        "symbol=KRW-ETH&side=buy",
        "question=doubt",
        "since=2026-01-05&until=2026-01-06",
        "newer=end",
    ],
    Decision: ["", "decision=buy", "symbol=KRW-ETH", "analyst=rules", "q=reason17", "newer=end"],
    SystemLog: ["", "level=critical", "q=line17", "since=2026-01-05&until=2026-01-06", "newer=end"],
}


@pytest.fixture
def many_rows() -> User:
    """Twenty thousand of each, in PostgreSQL's own loop, with statistics as autovacuum would have made them."""
    from tests.benchmarks.history import fill

    owner = rows.user(is_superuser=True)
    fill(count=20_000, bots=[rows.bot(owner, symbol=symbol) for symbol in ("KRW-BTC", "KRW-ETH", "KRW-XRP")])
    return owner


def test_no_list_reads_a_whole_table_whatever_it_is_asked(client: Client, many_rows: User) -> None:
    client.force_login(many_rows)
    read: list[str] = []
    for model, asked in QUERIES.items():
        for query in asked:
            with CaptureQueriesContext(connection) as told:
                assert client.get(f"{address(model)}?{query}").status_code == 200
            assert len(told) <= 12, (model, query, len(told))
            read += [f"{model.__name__} ?{query}: {plan}" for plan in whole_reads(told, model._meta.db_table)]

    assert not read


def whole_reads(told: CaptureQueriesContext, table: str) -> list[str]:
    """Plans of the page's own statements that read `table` from end to end. The sum over a bounded number of rows may."""
    found = []
    for query in told.captured_queries:
        sql = query["sql"]
        if f'FROM "{table}"' not in sql or "AS part(" in sql:
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        if f"Seq Scan on {table}" in plan:
            found.append(f"{sql[:200]}\n{plan}")
    return found


def test_every_long_list_is_one(rf: RequestFactory) -> None:
    from dgbot.base.keyset import KeysetChangeList, columns_of

    for model in QUERIES:
        model_admin = admin.site._registry[model]
        assert model_admin.get_changelist(rf.get("/")) is KeysetChangeList
        assert len(columns_of(model_admin.ordering)) == 2
