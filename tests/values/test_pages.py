"""The code of the pages about Redis that needs no other code runs, and prints what they show."""

from __future__ import annotations

import ast
import inspect
import types
import uuid
from typing import Any

import pytest

from tests.docs.markdown import blocks_of


@pytest.mark.parametrize("page", ["docs/values.md", "docs/limits.md", "docs/sessions.md"])
async def test_the_code_of_a_page_prints_what_it_shows(
    page: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLAINSQL_APPLICATION", f"pages-{uuid.uuid4().hex[:12]}")
    names: dict[str, Any] = {"__name__": __name__}
    ran, printed = 0, ""
    for block in blocks_of(page):
        if block.is_output:
            assert printed == block.code, block.place
        elif block.language == "python" and ("Sync" in block.code or page == "docs/values.md"):
            source = block.code.replace("redis://localhost", redis_url)
            code = compile(source, block.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            done = types.FunctionType(code, names)()
            if inspect.iscoroutine(done):
                await done
            printed = capsys.readouterr().out
            assert printed, "each of them prints"
            ran += 1
    assert ran
