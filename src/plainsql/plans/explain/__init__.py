"""The plans of one query: generic, for typical calls, and the one that the plan cache takes.

``explained_query`` goes through these modules in this order: ``compared_columns`` finds the columns that a
parameter is compared with, ``typical_values`` and ``typical_calls`` draw values from their statistics,
``planning_session`` takes the role and the settings of the application, ``query_plans`` and ``server_plans``
have the server plan each variant, ``plan_tree`` reads its answer, and ``observations`` states the facts that
a DBA looks for, by the sizes of ``table_facts``.
"""
