"""Query objects: one SQL file as a callable, for every executor.

``query`` has the objects that users call, ``compiled`` the same as executors run them, ``declare`` the
decorators of generated modules. Nothing here knows a driver.
"""

from plainsql.conversions import dumped, dumped_bounds, dumped_elements, sending
from plainsql.encoding import bits
from plainsql.query.binding import Args, Binder, NullError, bounded
from plainsql.query.compiled import CompiledQuery, QueryFacts
from plainsql.query.copy_query import CompiledCopy, CopyQuery
from plainsql.query.declare import copied, count, many, one, optional, paged
from plainsql.query.description import Described
from plainsql.query.pages import Page, PageRequest
from plainsql.query.parameter_types import parameter_types
from plainsql.query.query import CountQuery, ManyQuery, OneQuery, OptionalQuery, PagedQuery, Query
from plainsql.query.row_columns import columns
from plainsql.query.texts import QueryText
from plainsql.rows import composite, elements, tuples
from plainsql.statements.page_text import PageKey, PageOrder

__all__ = [
    "Args",
    "Binder",
    "CompiledCopy",
    "CompiledQuery",
    "CopyQuery",
    "CountQuery",
    "Described",
    "ManyQuery",
    "NullError",
    "OneQuery",
    "OptionalQuery",
    "Page",
    "PageKey",
    "PageOrder",
    "PageRequest",
    "PagedQuery",
    "Query",
    "QueryFacts",
    "QueryText",
    "bits",
    "bounded",
    "columns",
    "composite",
    "copied",
    "count",
    "dumped",
    "dumped_bounds",
    "dumped_elements",
    "elements",
    "many",
    "one",
    "optional",
    "paged",
    "parameter_types",
    "sending",
    "tuples",
]
