"""The checks of a database and its services: what ``plainsql db doctor`` prints and ``db.check()`` returns.

``results`` has the values, ``server_checks`` the checks of PostgreSQL, ``migration_checks`` those of the
migrations, ``redis_check`` that of Redis. The checks of a database know no driver: they yield SQL, and get
the rows of it back.
"""

from __future__ import annotations

from plainsql.health.results import Check, Health, failure
from plainsql.health.steps import RefusedStepError, Steps

__all__ = ["Check", "Health", "RefusedStepError", "Steps", "failure"]
