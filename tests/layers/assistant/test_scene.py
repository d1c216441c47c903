"""The scene of ``plainsql demo assistant``."""

from __future__ import annotations

import io

from rich.console import Console

from plainsql.cli.demos import assistant


async def test_the_scene_plays_to_its_end(plainsql_fresh_database_url: str) -> None:
    out = io.StringIO()
    queries = await assistant.play(plainsql_fresh_database_url, Console(file=out, width=110))
    shown = out.getvalue()
    assert queries > 30
    assert "sql/assistant/notes/search.sql" in shown
    assert "«Reunión»" in shown
    assert "ForeignKeyViolation: " in shown
