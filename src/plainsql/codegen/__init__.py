"""The code generator, from facts to Python source.

Data goes through `python_types`, `annotations`, `planned_parameters`, `classes`, `modules`, `render`,
`verification` and `output_files`, in this order.
"""

from plainsql.codegen.modules import Checked, plan_modules
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
    "MARK",
    "Changes",
    "Checked",
    "Kept",
    "compare",
    "keep",
    "modules_of_queries",
    "plan_modules",
    "sources",
    "verify",
    "write",
]
