"""The list for translators is what the registered strategies say, no more and no less."""

from backtests.strategies.registry import STRATEGIES
from trading.admin.strategy_words import WORDS


def test_every_word_of_every_strategy_is_listed_for_translation():
    said = {text for strategy in STRATEGIES.values() for text in (strategy.title, strategy.description)}
    for strategy in STRATEGIES.values():
        for name, bounds in strategy.parameters.bounds().items():
            said |= {name.replace("_", " "), bounds.unit, bounds.help}

    assert set(WORDS) == said - {""}
