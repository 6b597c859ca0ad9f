"""How a simulated market moves: chapters of 34 hours, each drawn from (key, number) alone.

    up, down    swing ──────── squeeze ──── break ── aftermath: run · fade · fail ──────
    range       swing ──────────────────────────────────────────────────────────────────

A chapter is planned by the hour (where the price goes, how lively, how much is traded) and painted in steps of 15 seconds
between those hours. Only the price level at its start depends on the chapters before. Pure: no clock, no state.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

CHAPTER_HOURS = 34
STEPS_PER_HOUR = 240
STEPS_PER_MINUTE = 4
MINUTES_PER_HOUR = 60

USUAL_MOVE = 0.0045  # of an hour's close, fraction; an hour of KRW-BTC moves by about this
GAP_CHANCE = 1 / 90
SILENCE_CHANCE = 1 / 150  # an hour without a trade has no candle
WIGGLE = 0.65  # of the path inside an hour, times the hour's usual move
QUIET = 0.36  # liveliness of a squeeze, times the usual
HOMESICKNESS = 0.10  # share of the way back to the base level that a chapter drifts; keeps the price sensible for decades
USUAL_CLIMB = 0.02  # what a chapter gains on average before it is led home, log

Numbers = NDArray[np.float64]


class Kind(StrEnum):
    """What a chapter is about."""

    OPENING = "opening"  # an upward break early on, so that a first trade is not long in coming
    UP = "up"
    DOWN = "down"
    RANGE = "range"


class Aftermath(StrEnum):
    """What becomes of a break."""

    RUN = "run"
    FADE = "fade"
    FAIL = "fail"


@dataclass(frozen=True)
class Plan:
    """A chapter by the hour; all arrays (CHAPTER_HOURS,), log prices relative to the chapter's start."""

    opens: Numbers  # after a gap, if there is one
    closes: Numbers
    wiggle: Numbers  # standard deviation of the path inside an hour, log
    activity: Numbers  # volume relative to the usual hour; 0 is an hour without a trade

    @property
    def displacement(self) -> float:
        """Where the chapter ends, log."""
        return float(self.closes[-1])


def generator(key: int, *, stream: int, number: int) -> np.random.Generator:
    """Randomness of one chapter or instant, independent of all others. key: below 2**128; stream, number: below 2**64."""
    return np.random.Generator(np.random.Philox(key=key, counter=(stream << 192) | (number << 64)))


def plan(random: np.random.Generator, *, away: float, kind: Kind | None = None) -> Plan:
    """One chapter by the hour. away: log distance of its start from the base level. kind: None draws one."""
    kind = kind or _kind(random, away)
    move = USUAL_MOVE * np.exp(0.2 * random.standard_normal())
    path, liveliness, activity = _story(random, kind, move=move, homeward=-HOMESICKNESS * away - USUAL_CLIMB)
    is_silent = (random.random(CHAPTER_HOURS) < SILENCE_CHANCE) & (activity < 2)
    closes = _held(path, is_silent)
    steps = np.diff(closes, prepend=0.0)
    jumps = np.where(random.random(CHAPTER_HOURS) < GAP_CHANCE, random.uniform(0.7, 1.3, CHAPTER_HOURS), 0.0)
    volume = activity * np.exp(0.22 * random.standard_normal(CHAPTER_HOURS)) * (0.75 + 0.25 * np.minimum(np.abs(steps) / move, 4))
    opens = closes - (1 - jumps) * steps
    return Plan(opens=opens, closes=closes, wiggle=WIGGLE * move * liveliness, activity=np.where(is_silent, 0.0, volume))


def paint(random: np.random.Generator, chapter: Plan) -> tuple[Numbers, Numbers]:
    """Log prices (CHAPTER_HOURS, STEPS_PER_HOUR + 1) relative to the chapter's start, and each minute's share of its hour's volume.

    Each hour is a bridge from its open to its close; some minutes are lively, most are not.
    """
    bursts = np.exp(0.4 * random.standard_normal((CHAPTER_HOURS, MINUTES_PER_HOUR)))
    noise = random.standard_normal((CHAPTER_HOURS, STEPS_PER_HOUR)) * np.repeat(bursts, STEPS_PER_MINUTE, axis=1)
    walk = np.cumsum(noise, axis=1) * (chapter.wiggle / np.sqrt(STEPS_PER_HOUR))[:, None]
    progress = np.arange(1, STEPS_PER_HOUR + 1) / STEPS_PER_HOUR
    steps = (chapter.closes - chapter.opens)[:, None]
    inside = chapter.opens[:, None] + walk + progress * (steps - walk[:, -1:])
    inside[chapter.activity == 0] = chapter.opens[chapter.activity == 0, None]
    path = np.concatenate([chapter.opens[:, None], inside], axis=1)
    shares = bursts * np.exp(0.6 * random.standard_normal(bursts.shape))
    return path, shares / shares.sum(axis=1, keepdims=True)


def _kind(random: np.random.Generator, away: float) -> Kind:
    up = min(max(0.82 - away, 0.4), 0.92)
    draw = random.random()
    return Kind.UP if draw < up else Kind.DOWN if draw < up + 0.6 * (1 - up) else Kind.RANGE


@dataclass(frozen=True)
class Shape:
    """Lengths in hours, heights in usual moves of the chapter."""

    swing: int
    squeeze: int
    climb: float  # over the swing
    sag: float  # over the squeeze; lets relative strength calm down
    reach: float  # of the break beyond the highest close before


def _shape(random: np.random.Generator, *, is_opening: bool) -> Shape:
    """The opening's numbers were found by trial: 96 of the seeds 1…100 let volatility_breakout buy KRW-BTC within 30 slots."""
    swing, squeeze = (random.integers(6, 8), random.integers(15, 18)) if is_opening else (random.integers(5, 11), random.integers(14, 19))
    climb = 6.5 if is_opening else random.uniform(1.5, 6.0)
    reach = random.uniform(0.6, 0.85) if is_opening else random.uniform(0.7, 1.2)
    return Shape(swing=int(swing), squeeze=int(squeeze), climb=climb, sag=1.4 if is_opening else random.uniform(-0.5, 2.5), reach=reach)


def _story(random: np.random.Generator, kind: Kind, *, move: float, homeward: float) -> tuple[Numbers, Numbers, Numbers]:
    """Path of the closes, liveliness and activity by the hour. homeward: log drift that leads back to the base level."""
    sign = -1.0 if kind is Kind.DOWN else 1.0
    if kind is Kind.RANGE:
        path = _wander(random, hours=CHAPTER_HOURS, start=0.0, goal=homeward, move=1.15 * move, pull=0.15)
        return path, np.ones(CHAPTER_HOURS), np.ones(CHAPTER_HOURS)
    shape = _shape(random, is_opening=kind is Kind.OPENING)
    path = _wander(random, hours=shape.swing, start=0.0, goal=sign * shape.climb * move, move=1.3 * move, pull=0.15)
    rested = path[-1] - sign * shape.sag * move
    calming = np.linspace(1.7, 0.7, shape.squeeze) * QUIET
    path = np.append(path, _wander(random, hours=shape.squeeze, start=path[-1], goal=rested, move=calming * move, pull=0.6))
    path = np.append(path, sign * ((sign * path[-20:]).max() + shape.reach * move))  # beyond the range and the wicks around it
    rest = CHAPTER_HOURS - len(path)
    path = np.append(path, _followed(random, start=path[-1], hours=rest, sign=sign, move=move, homeward=homeward))
    after = np.arange(rest)
    liveliness = np.concatenate([np.ones(shape.swing), 1.3 * calming, [1.0], 0.9 + 0.3 * np.exp(-after / 4)])
    activity = np.concatenate(
        [np.ones(shape.swing), np.linspace(0.85, 0.55, shape.squeeze), [random.uniform(2.2, 3.6)], 0.9 + 0.8 * np.exp(-after / 3)]
    )
    return path, liveliness, activity


def _held(path: Numbers, is_silent: NDArray[np.bool_]) -> Numbers:
    """The path with the price of the hour before wherever nothing trades."""
    latest = np.maximum.accumulate(np.where(is_silent, -1, np.arange(len(path))))
    return np.where(latest < 0, 0.0, path[latest])


def _wander(random: np.random.Generator, *, hours: int, start: float, goal: float, move: float | Numbers, pull: float) -> Numbers:
    """Closes that stray around a straight line from `start` to `goal` and are pulled back to it by the share `pull` an hour."""
    shocks, strayed, path = move * random.standard_normal(hours), 0.0, np.empty(hours)
    for hour, shock in enumerate(shocks):
        strayed = (1 - pull) * strayed + shock
        path[hour] = start + (goal - start) * (hour + 1) / hours + strayed
    return path


def _followed(random: np.random.Generator, *, start: float, hours: int, sign: float, move: float, homeward: float) -> Numbers:
    draw = random.random()
    aftermath = Aftermath.RUN if draw < 0.4 else Aftermath.FADE if draw < 0.7 else Aftermath.FAIL
    reach = {Aftermath.RUN: 7.0, Aftermath.FADE: 0.5, Aftermath.FAIL: -5.0}[aftermath] * random.uniform(0.6, 1.4)
    first = min(hours, int(random.integers(4, 12)))
    if aftermath is Aftermath.FAIL:
        first = min(first, 5)
    goal = start + sign * reach * move
    path = _wander(random, hours=first, start=start, goal=goal, move=0.7 * move, pull=0.2)
    end = path[-1] if first else start
    return np.append(path, _wander(random, hours=hours - first, start=end, goal=end + homeward, move=0.8 * move, pull=0.1))
