"""The code generator, from facts to Python source.

Data goes through `enums`, `python_types`, `annotations`, `planned_parameters`, `classes`, `modules`,
`render`, `verification` and `output_files`, in this order.
"""

from plainsql.codegen.enums import ENUM_STYLES
from plainsql.codegen.kept_enums import keep_enums
from plainsql.codegen.modules import Checked, Module, plan_modules
from plainsql.codegen.output_files import (
    Changes,
    Kept,
    compare,
    keep,
    modules_of_queries,
    sources,
    write,
)
from plainsql.codegen.render import MARK
from plainsql.codegen.verification import verify

__all__ = [
    "ENUM_STYLES",
    "MARK",
    "Changes",
    "Checked",
    "Kept",
    "Module",
    "compare",
    "keep",
    "keep_enums",
    "modules_of_queries",
    "plan_modules",
    "sources",
    "verify",
    "write",
]
