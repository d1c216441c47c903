"""The page of the architecture: it lists the modules that a call really enters."""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import plainsql
from plainsql.layers.realty import leads
from plainsql.speed.loaded import STEP

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
PACKAGE = Path(plainsql.__file__).parent
DRIVER = "database/execution/driver.py"


def listed() -> list[str]:
    """The modules of the numbered list, in order."""
    section = PAGE.read_text("utf-8").partition("### The modules of one call")[2].partition("\n## ")[0]
    modules: list[str] = re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)
    if STEP is None:
        _, _, without = section.partition("Without the [compiled part](speed.md), ")
        names = re.findall(r"`(\w+)\.py`", without)
        for other, name in zip(names[::2], names[1::2], strict=True):
            modules = [re.sub(rf"/{name}\.py$", f"/{other}.py", module) for module in modules]
    return modules


async def test_a_call_enters_the_modules_of_the_page_in_order_each_once(realty_url: str) -> None:
    frames: list[FrameType] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        inside = Path(frame.f_code.co_filename).is_relative_to(PACKAGE)
        # A coroutine that goes on after an await has the frame that it began with.
        if event == "call" and inside and not any(frame is each for each in frames):
            frames.append(frame)

    async with plainsql.connect(realty_url) as db:
        for _ in range(3):  # the first calls compile the text and prepare the statement
            assert await leads.get_by_id(db, id=uuid4()) is None
        sys.setprofile(note)
        try:
            await leads.get_by_id(db, id=uuid4())
        finally:
            sys.setprofile(None)
    entered = [Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix() for frame in frames]
    modules = [module for module, _ in groupby(entered)]
    to_the_driver = modules[: modules.index(DRIVER) + 1]
    assert to_the_driver == listed()[:-1]
    way_back = modules[len(to_the_driver) :]
    assert listed()[-1] in way_back
    assert {*modules} == {*listed()}, "the way back enters no other module"
