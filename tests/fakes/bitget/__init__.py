"""The fake Bitget: Classic REST (API v2) and websocket over a real socket, futures settled in isolated one-way positions."""

from tests.fakes.bitget.accounts import FakeAccount
from tests.fakes.bitget.server import FakeBitget

__all__ = ["FakeAccount", "FakeBitget"]
