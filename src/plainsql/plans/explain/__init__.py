"""The plans of one query: generic, for typical calls, and the one that the plan cache takes.

A query goes through these modules in this order: ``compared_columns`` finds the columns that a parameter is
compared with, ``typical_calls`` draws values from the statistics, ``query_plans`` has the server plan each
variant, ``plan_tree`` reads its answer, and ``observations`` states the facts that a DBA looks for.
"""
