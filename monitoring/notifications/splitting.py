"""Long texts in parts that a chat accepts: by line where that goes, by characters where a line alone is too long."""

from collections.abc import Iterable

PART_CHARACTERS = 4000  # Telegram takes 4096; the rest is room for "part i/n"


def split(lines: Iterable[str], *, limit: int) -> list[str]:
    """Texts of at most `limit` UTF-16 units each, which together hold every line in order. Never empty."""
    parts, held, size = [], list[str](), 0
    for line in lines:
        for piece in _pieces(line, limit=limit):
            needed = units(piece) + (1 if held else 0)
            if held and size + needed > limit:
                parts.append("\n".join(held))
                held, size, needed = [], 0, units(piece)
            held.append(piece)
            size += needed
    return [*parts, "\n".join(held)] if held or not parts else parts


def units(text: str) -> int:
    """Length as Telegram counts it: UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def _pieces(line: str, *, limit: int) -> list[str]:
    if units(line) <= limit:
        return [line]
    pieces, held, size = [], "", 0
    for character in line:
        wide = units(character)
        if size + wide > limit:
            pieces.append(held)
            held, size = "", 0
        held += character
        size += wide
    return [*pieces, held]
