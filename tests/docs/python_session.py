"""A Python prompt that is fed by the tests, like ``python -m asyncio``: one block a line, as JSON.

Blocks share their names and one event loop. A block that starts a loop itself is a program of its own.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import io
import json
import sys
import traceback
import types
from contextlib import redirect_stdout
from typing import Any


async def _serve() -> None:
    # A library in C looks for the builtins there when it imports a module.
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        printed, error = io.StringIO(), ""
        try:
            # The line numbers of tracebacks are those of the page.
            source = "\n" * (request["line"] - 1) + request["code"]
            is_program = "asyncio.run(" in source
            flags = 0 if is_program else ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            code = compile(source, request["page"], "exec", flags)
            with redirect_stdout(printed):
                if is_program:
                    await asyncio.to_thread(exec, code, {"__name__": "__main__"})
                else:
                    done = types.FunctionType(code, names)()
                    if inspect.iscoroutine(done):
                        await done
        except Exception:  # noqa: BLE001 (the test reports it)
            error = traceback.format_exc()
        print(json.dumps({"printed": printed.getvalue(), "error": error}), flush=True)
    if (db := names.get("db")) is not None and hasattr(db, "close"):
        closed = db.close()
        if inspect.isawaitable(closed):
            await closed


if __name__ == "__main__":
    sys.path.insert(0, "")
    asyncio.run(_serve())
