"""The recorded plans of a project's queries, and their comparison with those of today.

A query goes through these modules in this order: ``tested_variants`` chooses its variants, ``measurement``
has the server plan them, ``plan_shape`` leaves out the numbers, ``plan_file`` reads the recorded plans, and
``judgement`` compares the two, with costs as steps of ``magnitude``. ``query_report`` holds the outcome of
one query, ``project_plans`` those of all.
"""
