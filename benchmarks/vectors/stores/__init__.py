"""The vector stores that are compared, each in a module and a process of its own.

None of these modules but that of plainsql imports plainsql: the others' packages need an older pgvector, and
so are in an environment of their own.
"""
