"""What all stages of one cycle share, read once at its start."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from dgbot.core.types import TradingRules
from risk.models import RiskProfile
from trading.domain.config import RISK_LEVELS, Settings
from trading.exchanges.venue import Venue
from trading.models import AccountBalance, Bot, Cycle, Position


@dataclass
class Context:
    """One cycle at work. `now` is the cycle's market time; settings are those of its start."""

    cycle: Cycle
    bot: Bot
    venue: Venue
    settings: Settings
    profile: RiskProfile
    position: Position | None
    now: datetime
    lease_epoch: int
    is_between_candles: bool = False  # only RiskCheck and exits run

    @cached_property
    def rules(self) -> TradingRules:
        """The market's grid and minimum at this time."""
        return self.venue.exchange.trading_rules(self.bot.symbol, at=self.now)

    @cached_property
    def balances(self) -> dict[str, AccountBalance]:
        """What the gateway wrote about the account, by asset; empty until it has."""
        return {balance.asset: balance for balance in AccountBalance.objects.filter(account_id=self.bot.account_id)}

    @property
    def allocation(self) -> Decimal | None:
        """Quote currency this bot's limits refer to; None until the gateway has seen the account's cash."""
        return self.bot.allocation


def profile_of(bot: Bot, *, settings: Settings) -> RiskProfile:
    """The bot's own profile, or the one `risk_level` names. Raises LookupError when that is missing."""
    if bot.risk_profile is not None:
        return bot.risk_profile
    name = RISK_LEVELS[settings.risk_level]
    profile = RiskProfile.objects.filter(user=None, name=name).first()
    if profile is None:
        raise LookupError(f"the risk profile {name!r} is missing; run `manage.py prepare`")
    return profile
