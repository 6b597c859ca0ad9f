"""The market's conditions at a proposed entry, as the validator reads them: pure functions over what stage 2 collected."""

from backtests.candles.series import Candles
from backtests.conditions import bars
from backtests.conditions.divergence import divergence
from backtests.conditions.flash import flash
from backtests.conditions.relation import relation
from trading.domain.stages import Collected
from trading.services.stages.context import Context

Seen = dict[str, float | None]


def read(context: Context, collected: Collected) -> Seen:
    """By the validator's names; None unknown. What was not collected, because no rule asks for it, is left out."""
    candles: Candles = collected.candles
    return {**bars.newest(candles), "divergence": divergence(candles).bearish, **_flash(context, collected), **_relation(collected)}


def _flash(context: Context, collected: Collected) -> Seen:
    if collected.minutes is None:
        return {}
    seen = flash(collected.minutes, now=context.cycle.slot)
    return {"flash_return": seen.worst, "flash_deviations": seen.deviations}


def _relation(collected: Collected) -> Seen:
    if collected.btc is None:
        return {}
    seen = relation(collected.candles, collected.btc)
    return {
        "btc_return": seen.btc_return,
        "btc_beta": seen.beta,
        "btc_residual": seen.residual,
        "correlation_change": seen.correlation_change,
    }
