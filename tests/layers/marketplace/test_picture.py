"""The chart of a day: names of categories fit their room, sums have their decimals."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from plainsql.layers.marketplace.chart import draw
from plainsql.layers.marketplace.daily_report import CategoryLine, DailyReport, Revenue

pytest.importorskip("matplotlib")


def sold(category: str, revenue: str) -> CategoryLine:
    return CategoryLine(
        category=category,
        currency="EUR",
        conversations=1,
        asked=1,
        answered=1,
        response_rate=1.0,
        sales=1,
        revenue=Decimal(revenue),
        median_time_to_sale=60.0,
    )


def drawn(folder: Path, *lines: CategoryLine) -> str:
    report = DailyReport(
        day=date(2026, 11, 1),
        time_zone="UTC",
        conversations=1,
        asked=1,
        answered=1,
        response_rate=1.0,
        sales=1,
        revenue=(Revenue("EUR", Decimal(1)),),
        median_time_to_sale=60.0,
        categories=lines,
        hours=(),
    )
    draw(report, folder / "day.svg")
    return (folder / "day.svg").read_text("utf-8")


def test_a_name_is_cut_to_the_room_before_the_bars(tmp_path: Path) -> None:
    text = drawn(tmp_path, sold("Informática y electrónica", "1"), sold("W" * 24, "1"), sold("Bikes", "1"))
    assert ">Informática y elect…<" in text
    assert re.search(">W{6,12}…<", text)
    assert ">Bikes<" in text


def test_sums_below_each_other_have_as_many_decimals(tmp_path: Path) -> None:
    text = drawn(tmp_path, sold("a", "1584.90"), sold("b", "1368"))
    assert "1,584.90 €" in text
    assert "1,368.00 €" in text
    text = drawn(tmp_path, sold("a", "1584"), sold("b", "1368"))
    assert "1,368 €" in text
