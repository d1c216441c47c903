"""The cache's scripts, for one server and for servers that may fail over."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from plainsql.redis_connection import Script
from plainsql.redis_majority import TAKEOVER_S

__all__ = ["cache_script", "head_of_term"]

_PACKAGE: Final = "plainsql.cache"


def head_of_term(*, may_fail_over: bool) -> str:
    """Return the beginning of a script, which on servers that may fail over reads the term."""
    if not may_fail_over:
        return "local TAKEOVER = 0\n"
    term = (files(_PACKAGE) / "term.lua").read_text(encoding="utf-8")
    return f"local TAKEOVER = {TAKEOVER_S * 1000:.0f}\n{term}"


@cache
def cache_script(*names: str, may_fail_over: bool, head: str = "") -> Script:
    """Return the script of some files, after ``head`` and the functions that they use."""
    terms = "many_terms.lua" if may_fail_over else "one_server.lua"
    head = head_of_term(may_fail_over=may_fail_over) + head
    return Script.read(_PACKAGE, terms, *names, head=head)
