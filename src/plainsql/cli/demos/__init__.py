"""Demos: the contract that ``plainsql demo`` plays, and those of the layers that come with plainsql.

A package offers one through the entry point group ``plainsql.demos``.
"""

from __future__ import annotations

from plainsql.cli.demos.demo import Demo, SampleData
from plainsql.cli.demos.presenter import Presenter, Step

__all__ = ["Demo", "Presenter", "SampleData", "Step"]
