"""The hint for a type, a function, an access method or an operator class of an extension that is missing."""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg

__all__ = ["hint_of_extension"]

_MISSING: Final = re.compile(r'^(type|access method|operator class|text search \w+) "([^"]+)" does not exist')
_FUNCTION: Final = re.compile(r"^function (?:\w+\.)?(\w+)\(.*\) does not exist", re.DOTALL)

_NAMES: Final = {
    "vector": "vector halfvec sparsevec hnsw ivfflat l2_distance inner_product cosine_distance l1_distance "
    "binary_quantize subvector vector_dims vector_norm l2_normalize hamming_distance jaccard_distance",
    "pg_trgm": "gin_trgm_ops gist_trgm_ops similarity word_similarity strict_word_similarity show_trgm",
    "citext": "citext",
    "hstore": "hstore",
    "ltree": "ltree lquery ltxtquery gist_ltree_ops subpath nlevel",
    "postgis": "geometry geography box2d box3d st_makepoint st_setsrid st_distance st_dwithin",
    "uuid-ossp": "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5",
    "pgcrypto": "digest hmac crypt gen_salt gen_random_bytes pgp_sym_encrypt pgp_sym_decrypt encrypt decrypt",
    "unaccent": "unaccent",
    "fuzzystrmatch": "levenshtein levenshtein_less_equal metaphone dmetaphone soundex daitch_mokotoff",
    "cube": "cube cube_distance",
    "earthdistance": "earth ll_to_earth earth_distance earth_box",
    "intarray": "gin__int_ops gist__int_ops query_int",
    "isn": "ean13 isbn isbn13 issn upc",
    "tablefunc": "crosstab normal_rand connectby",
}
_OPERATOR_CLASSES: Final = {
    "vector": r"(vector|halfvec|sparsevec|bit)_(l1|l2|ip|cosine|hamming|jaccard)_ops",
    "btree_gist": r"gist_\w+_ops",
    "btree_gin": r"(int|float|text|timestamp|uuid|date)\w*_ops",
}
_EXTENSIONS: Final = {name: extension for extension, names in _NAMES.items() for name in names.split()}


_INSTALLED: Final = """
select n.nspname, n.nspname = any(current_schemas(true))
from pg_catalog.pg_extension as e
inner join pg_catalog.pg_namespace as n on e.extnamespace = n.oid
where e.extname = %s
"""


def hint_of_extension(connection: Any, sqlstate: str | None, message: str) -> str | None:
    """Return the hint that names the extension of a missing object, from the server's error in English.

    None if the error is another one, if the object is of no extension that is known here, or if the extension
    is installed and in the search path. ``connection``: of psycopg, to the database, outside a failed
    transaction.
    """
    extension = _extension_of(sqlstate, message)
    if extension is None:
        return None
    written = extension if extension.isidentifier() else f'"{extension}"'
    try:
        installed = connection.execute(_INSTALLED, (extension,)).fetchone()
    except psycopg.Error:
        return None
    if installed is None:
        return (
            "create its extension in a migration before, in a schema of the search path: "
            f"create extension if not exists {written};"
        )
    schema, is_visible = installed
    return (
        None if is_visible else f"the extension {extension} is in the schema {schema}: add it to search_path"
    )


def _extension_of(sqlstate: str | None, message: str) -> str | None:
    """Return the extension that a missing object is of; None if it is of none that is known here."""
    if sqlstate == "42704" and (found := _MISSING.match(message)):
        kind, name = found.groups()
    elif sqlstate == "42883" and (found := _FUNCTION.match(message)):
        kind, name = "function", found[1]
    else:
        return None
    extension = _EXTENSIONS.get(name.removesuffix("[]"))
    if extension is None and kind == "operator class":
        fitting = (each for each, pattern in _OPERATOR_CLASSES.items() if re.fullmatch(pattern, name))
        extension = next(fitting, None)
    return extension
