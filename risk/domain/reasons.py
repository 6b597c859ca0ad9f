"""A refusal, an exit or a warning that explains itself."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Reason:
    """The fact, the value, the limit and the remedy, in full words. `code` is what programs look at."""

    code: str
    message: str
    value: str = ""
    limit: str = ""
    remedy: str = ""

    def as_row(self) -> dict[str, str]:
        """As it is stored."""
        return asdict(self)
