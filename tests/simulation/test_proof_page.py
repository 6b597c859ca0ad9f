"""The page holds a block for each tier, and a run rewrites its own alone."""

from pathlib import Path

from tests.proof_page import write_block


def test_a_run_rewrites_its_own_block_alone(tmp_path: Path):
    page = tmp_path / "proof.md"
    write_block("simulation", "one", page=page)
    write_block("processes", "two", page=page)

    write_block("simulation", "three", page=page)

    text = page.read_text()
    assert "one" not in text and text.index("three") < text.index("two") and text.count("<!-- begin") == 2
