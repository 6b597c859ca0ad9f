"""What all stages of one cycle or look share, read once at its start."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from dgbot.core.types import TradingRules
from risk.domain.limits import EffectiveLimits
from risk.models import RiskProfile
from trading.domain.config import Settings
from trading.domain.validator import THRESHOLDS, Thresholds
from trading.exchanges.venue import Venue
from trading.models import AccountBalance, Bot, Cycle, Position
from trading.selectors import limits
from trading.services.stages.readings import Readings


@dataclass
class Context:
    """One cycle at work. `now` is the cycle's market time; what was read is of its start."""

    cycle: Cycle
    bot: Bot
    venue: Venue
    readings: Readings
    now: datetime
    lease_epoch: int
    is_between_candles: bool = False  # only RiskCheck and exits run

    @property
    def settings(self) -> Settings:
        """The settings of the start."""
        return self.readings.settings

    @property
    def profile(self) -> RiskProfile:
        """The bot's own risk profile, or the one the settings name."""
        profile = self.bot.risk_profile or self.readings.profile
        assert profile is not None  # read for every bot without its own
        return profile

    @property
    def position(self) -> Position | None:
        """What the bot held at the start."""
        return self.readings.positions.get(self.bot.pk)

    @cached_property
    def rules(self) -> TradingRules:
        """The market's grid and minimum at this time."""
        return self.venue.exchange.trading_rules(self.bot.symbol, at=self.now)

    @cached_property
    def limits(self) -> EffectiveLimits:
        """What this bot is held to: the account's hard limits over its own over its profile's."""
        return limits.effective(self.bot, profile=self.profile)

    @cached_property
    def thresholds(self) -> Thresholds:
        """Where the validator's rules bite: the profile's, and the tightest RSI limit that is told."""
        values = {name: getattr(self.profile, name) for name in THRESHOLDS}
        return Thresholds(**{**values, "rsi_buy_limit": self.limits.rsi_buy_limit or self.profile.rsi_buy_limit})

    @property
    def is_btc(self) -> bool:
        """Whether this bot trades BTC, of which no relation to BTC is asked."""
        return self.rules.base == "BTC"

    @cached_property
    def is_followed(self) -> bool:
        """Whether shadows are given what this bot sees. A replay has none."""
        return not self.venue.mode.is_recorded and Bot.objects.filter(shadow_of=self.bot.pk, is_running=True).exists()

    @property
    def balances(self) -> dict[str, AccountBalance]:
        """What the gateway wrote about the account, by asset; empty until it has."""
        return self.readings.balances.get(self.bot.account_id, {})

    @property
    def allocation(self) -> Decimal | None:
        """Quote currency this bot's limits refer to; None until the gateway has seen the account's cash."""
        return self.bot.allocation
