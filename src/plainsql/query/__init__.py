"""Query objects: one SQL file as a callable, for every executor.

``query`` has the objects that users call, ``compiled`` the same as executors run them, ``declare`` the
decorators of generated modules. Nothing here knows a driver.
"""

from plainsql.query.binding import Args, Binder, NullError, bounded
from plainsql.query.compiled import CompiledQuery, QueryFacts
from plainsql.query.declare import count, many, one, optional
from plainsql.query.description import Described
from plainsql.query.parameter_types import parameter_types
from plainsql.query.query import CountQuery, ManyQuery, OneQuery, OptionalQuery, Query
from plainsql.query.texts import QueryText
from plainsql.rows import bits, composite, elements, tuples

__all__ = [
    "Args",
    "Binder",
    "CompiledQuery",
    "CountQuery",
    "Described",
    "ManyQuery",
    "NullError",
    "OneQuery",
    "OptionalQuery",
    "Query",
    "QueryFacts",
    "QueryText",
    "bits",
    "bounded",
    "composite",
    "count",
    "elements",
    "many",
    "one",
    "optional",
    "parameter_types",
    "tuples",
]
