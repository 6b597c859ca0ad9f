"""The rules of a replay as one plain loop: the slow, obvious twin that shares no line with the product.

Floats for indicators in Wilder's textbook form, Decimal for money. Spot, long only, one position, one symbol.
"""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

D, ZERO = Decimal, Decimal(0)
FEE, SLIP, LOT, HOUR = D("0.0005"), D("0.0002"), D("0.00000001"), timedelta(hours=1)
SEOUL = ZoneInfo("Asia/Seoul")
Fill = tuple[str, str, str, str]  # (slot, side, price, lots)


@dataclass
class Bar:
    """One row of the file."""

    at: datetime
    o: D
    h: D
    l: D  # noqa: E741 - as every chart says
    c: D
    v: float


@dataclass
class Result:
    """What the loop did."""

    cash: D
    coins: D = ZERO
    fees: D = ZERO
    fills: list[Fill] = field(default_factory=list)


def read(path: Path) -> list[Bar]:
    """Bars of a file in our form."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        return [
            Bar(
                datetime.fromisoformat(row["timestamp"]),
                D(row["open"]),
                D(row["high"]),
                D(row["low"]),
                D(row["close"]),
                float(row["volume"]),
            )
            for row in csv.DictReader(file)
        ]


def run(bars: Sequence[Bar], *, start: datetime, end: datetime, cash: D) -> Result:  # noqa: PLR0915 - one straight story
    """Trade the bars opened in [start, end); indicators start at the first bar."""
    seen = Indicators(bars)
    result, allocation = Result(cash=cash), cash
    held = D(0)
    entry = stop = target = D(0)
    fill_bar = signal_bar = -1
    pending = ""
    entries: list[datetime] = []
    day_starts: dict[object, D] = {}
    is_safe = False

    def sell(price: D, at: datetime) -> None:
        nonlocal held
        bid = floor_to(price * (1 - SLIP), tick(price * (1 - SLIP)))
        result.cash += held * bid - held * bid * FEE
        result.fees += held * bid * FEE
        result.fills.append((at.isoformat(), "sell", f"{bid:f}", str(int(held / LOT))))
        held = D(0)

    for t, bar in enumerate(bars):
        if not start <= bar.at < end:
            continue
        # Orders decided at the last close fill at this open.
        if pending == "sell":
            sell(bar.o, bar.at)
        elif pending == "buy":
            ask = ceil_to(bar.o * (1 + SLIP), tick(bar.o * (1 + SLIP)))
            held = floor_to(D(50_000) / ask, LOT)
            result.cash -= held * ask + held * ask * FEE
            result.fees += held * ask * FEE
            result.fills.append((bar.at.isoformat(), "buy", f"{ask:f}", str(int(held / LOT))))
            entry, fill_bar, signal_bar = ask, t, t - 1
            atr = D(repr(seen.atr[signal_bar]))
            stop = ceil_to(max(entry * D("0.95"), entry - 2 * atr), tick(entry))
            target = floor_to(min(entry * D("1.10"), entry + 3 * atr), tick(entry))
            entries.append(bar.at)
        pending = ""
        # Stop and target along open, low, high, close.
        if held:
            if bar.o <= stop or bar.o >= target:
                sell(bar.o, bar.at)
            elif bar.l <= stop:
                sell(stop, bar.at)
            elif bar.h >= target:
                sell(target, bar.at)
        # Decide at the close.
        now = bar.at + HOUR
        day = now.astimezone(SEOUL).date()
        equity = result.cash + held * bar.c
        day_starts.setdefault(day, equity)
        week = [value for past, value in sorted(day_starts.items()) if past > day - timedelta(days=7)]
        is_safe = is_safe or equity - day_starts[day] <= -D("0.10") * allocation or equity - week[0] <= -D("0.15") * allocation
        if held:
            pending = "sell" if should_leave(seen, t, fill_bar=fill_bar, signal_bar=signal_bar, entry=entry, close=bar.c) else ""
            continue
        spaced = not entries or now - entries[-1] >= timedelta(hours=4)
        today = sum(at.astimezone(SEOUL).date() == day for at in entries)
        if spaced and today < 5 and not is_safe and seen.breaks_out(t) and seen.rsi[t] <= 70:
            pending = "buy"
    result.coins = held
    return result


def should_leave(seen: "Indicators", t: int, *, fill_bar: int, signal_bar: int, entry: D, close: D) -> bool:
    """Fake-out, weakening, time-out."""
    age, price, bought = t - fill_bar, float(close), float(entry)
    if 1 <= age <= 3 and price < bought - seen.atr[signal_bar]:
        return True
    if seen.adx[t] < 20 and seen.adx[t] < 0.8 * seen.adx[signal_bar]:
        return True
    return age >= 25 and price < bought * 1.02


class Indicators:
    """Textbook indicators, one value a bar; -1 or nan-free only where the strategy may look."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        self.high = [float(bar.h) for bar in bars]
        self.low = [float(bar.l) for bar in bars]
        self.close = [float(bar.c) for bar in bars]
        self.volume = [bar.v for bar in bars]
        self.width = [self._width(t) for t in range(len(bars))]
        self.rsi = self._rsi()
        self.atr, self.adx = self._atr_adx()

    def breaks_out(self, t: int) -> bool:
        """All four gates at the close of bar t."""
        if t < 50:
            return False
        trend = self.close[t] > sum(self.close[t - 49 : t + 1]) / 50
        squeeze = min(self.width[t - 10 : t]) < 0.8 * sum(self.width[t - 20 : t]) / 20
        breakout = self.close[t] > max(self.high[t - 20 : t])
        volume = self.volume[t] > 1.5 * sum(self.volume[t - 20 : t]) / 20
        return trend and squeeze and breakout and volume

    def _width(self, t: int) -> float:
        if t < 19:
            return float("inf")
        window = self.close[t - 19 : t + 1]
        mean = sum(window) / 20
        deviation = (sum((value - mean) ** 2 for value in window) / 20) ** 0.5
        return 4 * deviation / mean

    def _rsi(self) -> list[float]:
        changes = [0.0] + [after - before for before, after in zip(self.close, self.close[1:], strict=False)]
        gain = sum(max(change, 0) for change in changes[1:15]) / 14
        loss = sum(max(-change, 0) for change in changes[1:15]) / 14
        found = [0.0] * 14
        for t in range(14, len(changes)):
            if t > 14:
                gain = (gain * 13 + max(changes[t], 0)) / 14
                loss = (loss * 13 + max(-changes[t], 0)) / 14
            found.append(100 * gain / (gain + loss) if gain + loss else 0.0)
        return found

    def _atr_adx(self) -> tuple[list[float], list[float]]:
        n = len(self.close)
        true_range, up, down = [0.0] * n, [0.0] * n, [0.0] * n
        for t in range(1, n):
            true_range[t] = max(self.high[t], self.close[t - 1]) - min(self.low[t], self.close[t - 1])
            rise, fall = self.high[t] - self.high[t - 1], self.low[t - 1] - self.low[t]
            up[t] = rise if rise > fall and rise > 0 else 0.0
            down[t] = fall if fall > rise and fall > 0 else 0.0
        atr = [0.0] * n
        average = sum(true_range[1:15]) / 14
        tr, plus, minus = sum(true_range[1:14]), sum(up[1:14]), sum(down[1:14])
        adx, strengths, strength = [0.0] * n, [], 0.0
        for t in range(14, n):
            average = average if t == 14 else (average * 13 + true_range[t]) / 14
            atr[t] = average
            tr, plus, minus = tr - tr / 14 + true_range[t], plus - plus / 14 + up[t], minus - minus / 14 + down[t]
            both = plus + minus
            directional = 100 * abs(plus - minus) / both if both else 0.0
            strengths.append(directional)
            if len(strengths) == 14:
                strength = sum(strengths) / 14
            elif len(strengths) > 14:
                strength = (strength * 13 + directional) / 14
            adx[t] = strength
        return atr, adx


def tick(price: D) -> D:
    """KRW ticks as they were before 2024-01-29 and are today, for prices from 100,000 on."""
    for floor, step in ((1_000_000, 1000), (500_000, 500), (100_000, 100)):
        if price >= floor:
            return D(500) if floor == 1_000_000 and price < 2_000_000 and OLD_TICKS else D(step)
    raise ValueError(f"this loop knows no tick at {price}")


OLD_TICKS = True  # the band 1–2 million; no recorded test market trades there


def floor_to(value: D, step: D) -> D:
    """Down to the step."""
    return (value / step).to_integral_value(rounding=ROUND_FLOOR) * step


def ceil_to(value: D, step: D) -> D:
    """Up to the step."""
    return (value / step).to_integral_value(rounding=ROUND_CEILING) * step


def day(text: str) -> datetime:
    """Midnight UTC of an ISO date."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
