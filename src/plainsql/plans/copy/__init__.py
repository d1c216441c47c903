"""A database of the embedded server in which the planner finds production's statistics, and no rows.

The planner reads more than its statistics: the sizes of files, the height of each B-tree, the counters of
GIN indexes, and the first and last value of a B-tree. So the build goes through the modules in this order:
``data_folder``, ``catalog_of_copy``, ``restoration``, ``extended_restoration``, ``end_tuples``,
``assumed_sizes``, ``file_stretch``, ``crafted_pages``, ``page_checksum``, ``notes``. ``plan_database`` runs
them.

PostgreSQL's storage would refuse or damage the copy if a statement ran on it. So it is read-only, it is never
analysed, and it is never the template of another database.
"""

from __future__ import annotations

from plainsql.plans.copy.plan_database import PlanDatabase, open_plan_database

__all__ = ["PlanDatabase", "open_plan_database"]
