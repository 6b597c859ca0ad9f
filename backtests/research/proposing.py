"""Where one evaluation costs more than thinking about the next: sets proposed from what was seen, by Optuna's tree of Parzen estimators.

Source: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011; Optuna's TPESampler, multivariate, with a constant
liar so that several sets may be asked for at once. A proposal takes milliseconds, as much as a whole backtest of two years of hours:
there, quasi-random sets find more in the same time (docs/decisions/0025-how-parameters-are-searched.md).
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from backtests.research.sampling import Range
from backtests.strategies.base import Parameters, Strategy

STARTS = 64  # sets that are quasi-random before anything is proposed


class Proposer:
    """Remembers scores and proposes sets. Which ones depends on `seed` and on everything it was told."""

    def __init__(self, strategy: Strategy[Any], space: Mapping[str, Range], *, seed: int) -> None:
        import optuna  # half a second, needed here alone

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._strategy, self._space = optuna, strategy, space
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own settings are called experimental
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=0)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = {name: _distribution(optuna, one) for name, one in space.items() if one.low != one.high}

    def learn(self, sets: Sequence[Parameters], scores: Sequence[float | None]) -> None:
        """Tell what was evaluated elsewhere; None: nothing can be said of it."""
        state = self._optuna.trial.TrialState
        for parameters, score in zip(sets, scores, strict=True):
            values = {name: getattr(parameters, name) for name in self._distributions}
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    state=state.FAIL if score is None else state.COMPLETE,
                    value=score,
                    params=values,
                    distributions=self._distributions,
                )
            )

    def propose(self, count: int) -> list[Parameters]:
        """The next sets. They are forgotten unless they come back through `learn`."""
        asked = [self._study.ask(self._distributions) for _number in range(count)]
        for trial in asked:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        fixed = {name: one.at(0.0) for name, one in self._space.items() if one.low == one.high}
        return [self._strategy.parameters.of(fixed | trial.params) for trial in asked]


def _distribution(optuna: Any, one: Range) -> Any:
    if one.kind is bool:
        return optuna.distributions.CategoricalDistribution([False, True])
    if one.kind is int:
        return optuna.distributions.IntDistribution(int(one.low), int(one.high), log=one.is_wide)
    return optuna.distributions.FloatDistribution(one.low, one.high, log=one.is_wide)
