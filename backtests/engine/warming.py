"""Compile ahead: what a request or a task must never wait for."""

from typing import Any


def warm() -> dict[str, int]:
    """Load every kernel, compiling what the cache does not hold (seconds, once per version). Returns kernel → cache misses.

    A process that finds no zero here has compiled; `up`, a worker's start, the ticker's start and a test session call this first.
    """
    from backtests import indicator_kernels
    from backtests.engine import kernel, portfolio_kernel
    from backtests.strategies import volume_zone_kernel

    kernels: dict[str, Any] = {
        "spot": kernel.walk_spot,
        "perpetual": kernel.walk_perpetual,
        "portfolio": portfolio_kernel.walk_portfolio,
        "curve": kernel.measure_curve,
        "volume_zone": volume_zone_kernel.resistances,
        **indicator_kernels.KERNELS,
    }
    return {name: sum(one.stats.cache_misses.values()) for name, one in kernels.items()}
