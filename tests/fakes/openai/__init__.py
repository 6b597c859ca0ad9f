"""An OpenAI-compatible endpoint on loopback, with a meter."""

from tests.fakes.openai.server import Cut, FakeOpenAI, Html, Refused, Said, Slow, Status, decision

__all__ = ["Cut", "FakeOpenAI", "Html", "Refused", "Said", "Slow", "Status", "decision"]
