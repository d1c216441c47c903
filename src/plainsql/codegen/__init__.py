"""Facts → Python source: python_types · annotations · parameters · classes · modules · render · verification
· writing, in the order in which data goes through them.
"""

from plainsql.codegen.modules import Checked, plan_modules
from plainsql.codegen.output_files import Changes, compare, sources, write
from plainsql.codegen.render import MARK
from plainsql.codegen.verification import verify

__all__ = ["MARK", "Changes", "Checked", "compare", "plan_modules", "sources", "verify", "write"]
