"""Tables at a terminal that is too narrow for them."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
PROGRAM = """
from plainsql.cli.tables import print_table
print_table(
    ["pid", "role", "state", "waits for", "query"],
    [
        ["12", "postgres", "idle in transaction", "", "shop.leads.count_all  sql/shop/leads/count_all.sql:2"],
        ["  └ 345", "postgres", "active", "12 (advisory)", "select " + "a long statement " * 4 + "end"],
    ],
)
"""


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            60,
            [
                "12",
                "  role postgres  state idle in transaction",
                "  query shop.leads.count_all  sql/shop/leads/count_all.sql:2",
                "  └ 345",
                "  role postgres  state active  waits for 12 (advisory)",
                "  query select a long statement a long statement a long",
                "statement a long statement end",
            ],
        ),
        (100, 9),
    ],
)
def test_a_narrow_terminal_gets_a_block_for_each_row(width: int, lines: list[str] | int) -> None:
    reader, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", PROGRAM], stdout=terminal, env=environment, check=True)
    os.close(terminal)
    printed = b""
    try:
        while chunk := os.read(reader, 65536):
            printed += chunk
    except OSError:  # Linux reports the end of a terminal as an error
        pass
    os.close(reader)
    shown = [line.rstrip() for line in _ESCAPES.sub("", printed.decode()).splitlines()]
    if isinstance(lines, list):
        assert shown == lines
    else:  # a table whose query is folded
        assert (len(shown), shown[0][0], {len(line) for line in shown}) == (lines, "╭", {width})
