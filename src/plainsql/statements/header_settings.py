"""The ``set`` lines of a header: settings of the server that are those of one statement.

A line gives a value, or the parameter of a call that has it::

    -- set: hnsw.ef_search = 100
    -- set: ivfflat.probes = :probes
    -- set: plan_cache_mode = force_custom_plan
    -- set: work_mem = '64 MB'

Settings on which a proof or the isolation of tenants rests are refused. So is a setting that is not known to
be harmless: PostgreSQL's own are allowed by their group, which the server knows, and those with a dot only if
an extension has defined them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from keyword import iskeyword
from typing import TYPE_CHECKING, Final

from plainsql.errors import SqlFileError
from plainsql.statements.model import Bounds, Parameter, QuerySetting
from plainsql.statements.source import Source

if TYPE_CHECKING:
    from plainsql.statements.variants import Compiled

__all__ = ["check_settings", "is_known_setting", "read_setting", "setting_name", "setting_parameters"]

_LINE: Final = re.compile(
    r"([A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*)[ \t]*(=|[ \t]to[ \t])[ \t]*(.*)", re.DOTALL
)
_VALUE: Final = re.compile(r"'((?:[^']|'')*)'|([-+]?[0-9]+(?:\.[0-9]+)?[ \t]?[A-Za-z]{0,3}|[A-Za-z_][\w.-]*)")
_PARAMETER: Final = re.compile(r":([A-Za-z_]\w*)")
_FORM: Final = "write, for example, set: hnsw.ef_search = 100, or set: hnsw.ef_search = :ef"

_REFUSED: Final = {
    **dict.fromkeys(
        ("role", "session_authorization", "is_superuser"),
        "it changes the role, whose rights and policies the query is checked with",
    ),
    "row_security": "tenants are isolated by row-level security",
    "search_path": "it changes the tables and functions that the text names",
    "temp_tablespaces": "it changes where the server stores, and no result",
    **dict.fromkeys(
        (
            *("transaction_isolation", "transaction_read_only", "transaction_deferrable"),
            *("default_transaction_isolation", "default_transaction_read_only"),
            *("default_transaction_deferrable", "transaction_timeout", "synchronous_commit"),
            "idle_in_transaction_session_timeout",
        ),
        "it is of the whole transaction, and not of one statement",
    ),
    **dict.fromkeys(
        (
            *("client_encoding", "datestyle", "intervalstyle", "bytea_output", "extra_float_digits"),
            *("standard_conforming_strings", "backslash_quote", "escape_string_warning"),
            *("timezone", "xmlbinary", "xmloption", "lc_messages", "lc_monetary", "lc_numeric", "lc_time"),
        ),
        "the driver reads and writes values by it",
    ),
    **dict.fromkeys(
        ("session_replication_role", "check_function_bodies", "transform_null_equals", "array_nulls"),
        "it changes what a statement means or does, which the analysis has proved",
    ),
}
"""Settings that no query may set, with the reason."""
_KNOWN: Final = re.compile(
    r"""
    enable_\w+ | \w+_cost | geqo(?:_\w+)? | jit(?:_\w+)? | plan_cache_mode | constraint_exclusion
    | cursor_tuple_fraction | default_statistics_target | (?:from|join)_collapse_limit
    | recursive_worktable_factor | effective_cache_size | min_parallel_(?:table|index)_scan_size
    | work_mem | hash_mem_multiplier | maintenance_work_mem | logical_decoding_work_mem
    | max_parallel_(?:workers|workers_per_gather|maintenance_workers) | parallel_leader_participation
    | (?:effective|maintenance)_io_concurrency | io_combine_limit | debug_parallel_query
    | statement_timeout | lock_timeout | gin_fuzzy_search_limit | gin_pending_list_limit
    """,
    re.VERBOSE,
)
"""The settings of PostgreSQL that change plans, resources and time limits, and no result."""
_EXTENSIONS: Final = ("hnsw.", "ivfflat.", "pg_trgm.")


def setting_name(value: str) -> str:
    """Return the setting that the value of a ``set`` line names, in lower case; empty if it names none."""
    found = _LINE.match(value)
    return found[1].lower() if found else ""


def is_known_setting(name: str) -> bool:
    """Return whether a setting is known to be harmless, without the server's word."""
    return _KNOWN.fullmatch(name) is not None or name.startswith(_EXTENSIONS)


def read_setting(source: Source, value: str, offset: int) -> QuerySetting:
    """Read the value of a ``set`` line. Raises ``SqlFileError``."""
    found = _LINE.fullmatch(value)
    if found is None:
        raise source.error(
            offset, f"expected the name of a setting, = and a value, got {value!r}", hint=_FORM
        )
    name, text = found[1].lower(), found[3].strip()
    if found[2] != "=":
        raise source.error(
            offset + found.start(2) + 1, "expected =, got 'to'", hint=f"write set: {name} = {text}"
        )
    if (reason := _REFUSED.get(name)) is not None:
        raise source.error(
            offset,
            f"a query cannot set {name}: {reason}",
            hint="remove the line, or set it for the whole connection: connect(server_settings=…)",
        )
    at = offset + found.start(3)
    if parameter := _PARAMETER.fullmatch(text):
        if iskeyword(parameter[1]):
            raise source.error(
                at,
                f"{parameter[1]} is a keyword of Python and cannot be the name of a parameter",
                hint=f"call it :{parameter[1]}_, or choose another name",
            )
        return QuerySetting(name, None, parameter[1], source.place(offset), source.place(at))
    if not text:
        raise source.error(at, f"{name} has no value", hint=_FORM)
    constant = _VALUE.fullmatch(text)
    if constant is None:
        raise source.error(
            at,
            f"expected a value or :parameter for {name}, got {text!r}",
            hint="write a number, a word, a text in quotes such as '64 MB', or :name",
        )
    written = constant[2] if constant[1] is None else constant[1].replace("''", "'")
    return QuerySetting(name, written, None, source.place(offset), source.place(at))


def setting_parameters(
    settings: list[QuerySetting],
    compiled: Compiled,
    bounds: dict[str, Bounds],
    described: dict[str, tuple[str, int]],
) -> tuple[Parameter, ...]:
    """Return the parameters that only settings take, in the order of the header."""
    names = dict.fromkeys(each.parameter for each in settings if each.parameter is not None)
    return tuple(
        Parameter(
            name,
            False,
            tuple(each.value_place for each in settings if each.parameter == name),
            bounds.get(name),
            description=described.get(name, ("",))[0],
        )
        for name in names
        if name not in compiled.offsets
    )


def check_settings(
    source: Source,
    compiled: Compiled,
    settings: list[QuerySetting],
    offsets: list[int],
    typed: Collection[str],
    errors: list[SqlFileError],
) -> None:
    """Compare the parameters of settings with those of the text; errors go to ``errors``.

    ``offsets`` are those of the settings, ``typed`` the parameters with a type or an encryption of their own.
    """
    for setting, offset in zip(settings, offsets, strict=True):
        name = setting.parameter
        if name is None:
            continue
        if name in compiled.choices:
            errors.append(
                source.error(
                    offset,
                    f":{name} chooses lines, and cannot be the value of {setting.name}",
                    hint="give the setting a parameter of its own",
                )
            )
        elif name in compiled.optional:
            errors.append(
                source.error(
                    offset,
                    f":{name} is only on optional lines, and {setting.name} needs a value in every call",
                    hint="give the setting a parameter of its own",
                )
            )
        elif any(parameter.startswith(f"{name}.") for parameter in compiled.offsets):
            errors.append(
                source.error(
                    offset,
                    f":{name} is a list of rows, and cannot be the value of {setting.name}",
                    hint="give the setting a parameter of its own",
                )
            )
        elif name in typed and name not in compiled.offsets:
            errors.append(
                source.error(
                    offset,
                    f":{name} is the value of {setting.name}, which gives it its type",
                    hint=f"remove the type: write param {name}: with bounds or a default only",
                )
            )
