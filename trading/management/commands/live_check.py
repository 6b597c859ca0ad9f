"""`manage.py live_check`: ask the real exchange what its documentation leaves open, with tiny orders and real money."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from dgbot.accounts import audit
from dgbot.core.errors import DgbotError
from dgbot.core.types import Mode
from trading import vault
from trading.models import Credential, ExchangeAccount, KeyStatus
from trading.services import gateway, venues
from trading.services.live_check import LiveCheck

WORDS = {True: "as documented", False: "NOT AS DOCUMENTED", None: "to be written down"}
ACCEPT = "--i-accept-real-orders"


class Command(BaseCommand):
    """Refuses without both switches: DGBOT_LIVE_TRADING=true and the option. Not run by its authors against a real exchange."""

    help = (
        "Place a few tiny REAL orders to learn what only the exchange can tell: lookups, duplicates, minimums, fees.\n"
        "It has been tried against the local fakes only. Stop the gateway first.\n\n"
        f"Example: DGBOT_LIVE_TRADING=true manage.py live_check 3 --symbol KRW-BTC --most 10000 {ACCEPT}"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Account, market, and the most that one order may cost."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("account", type=int, help="number of a live account whose key is verified")
        parser.add_argument("--symbol", required=True, help="KRW-BTC, or ETH/USDT:USDT")
        parser.add_argument("--most", required=True, metavar="QUOTE", help="no order is larger than this, quote currency")
        parser.add_argument(ACCEPT, action="store_true", help="the second switch: these orders cost real money")
        parser.add_argument("--json", action="store_true", help="answer for a program")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run every question under the account's lease."""
        self._check_switches(accepted=options["i_accept_real_orders"])
        account = self._account(options["account"])
        tenure = gateway.take_account(account.pk)
        if tenure is None:
            raise CommandError(f"A gateway serves {account}; stop it first, since only one may send for an account.")
        try:
            answers = self._run(account, symbol=options["symbol"], most=_amount(options["most"]), is_quiet=options["json"])
        except DgbotError as error:
            raise CommandError(str(error)) from error
        finally:
            gateway.give_back(tenure)
        if options["json"]:
            self.stdout.write(json.dumps(answers))

    def _run(self, account: ExchangeAccount, *, symbol: str, most: Decimal, is_quiet: bool) -> list[dict[str, Any]]:
        venue = venues.venue_for(account, open_key=vault.open_key)
        audit.record(actor="live_check", action="place real test orders", target=f"account:{account.pk}", diff={"most": [None, str(most)]})
        answers = []
        for answer in LiveCheck(venue.exchange, symbol, most, settings.DEPLOYMENT).run():
            answers.append({"question": answer.question, "said": answer.said, "is_expected": answer.is_expected})
            if not is_quiet:
                self.stdout.write(f"{WORDS[answer.is_expected]:20}  {answer.question}: {answer.said}")
        return answers

    def _check_switches(self, *, accepted: bool) -> None:
        if not settings.LIVE_TRADING:
            raise CommandError("Nothing was sent: DGBOT_LIVE_TRADING is false; it is the first of two switches.")
        if not accepted:
            raise CommandError(f"Nothing was sent: {ACCEPT} is missing; it is the second of two switches.")

    def _account(self, number: int) -> ExchangeAccount:
        account = ExchangeAccount.objects.filter(pk=number, mode=Mode.LIVE.value).first()
        if account is None:
            raise CommandError(f"There is no live account {number}; its number stands in the address of its admin page.")
        if not Credential.objects.filter(account=account, status=KeyStatus.VERIFIED).exists():
            raise CommandError(f"The key of {account} is not verified; check it in the admin first.")
        return account


def _amount(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise CommandError(f"--most must be an amount above zero, was {text!r}.")
    return value
