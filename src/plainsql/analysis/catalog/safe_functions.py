"""Volatile functions that are known to be harmless, and functions with hidden effects: a reviewed table.

The server marks everything that it gives no promise for as volatile: a random number as well as an advisory
lock. A volatile function that is not listed here is taken to write, and to leave something behind.
"""

from __future__ import annotations

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.nodes import Node

__all__ = ["hides_tables", "leaves_no_state", "only_computes", "only_reads", "runs_sql"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# They read a clock, a source of randomness or the server's own figures.
_HARMLESS_READS = _names(
    """
    random random_normal gen_random_uuid uuidv4 uuidv7 clock_timestamp timeofday array_sample
    array_shuffle pg_sleep pg_sleep_for pg_sleep_until pg_relation_size pg_table_size pg_indexes_size
    pg_total_relation_size pg_database_size pg_tablespace_size pg_current_wal_lsn
    pg_current_wal_insert_lsn pg_current_wal_flush_lsn pg_is_in_recovery pg_last_wal_receive_lsn
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_blocking_pids pg_safe_snapshot_blocking_pids
    pg_sequence_last_value pg_notification_queue_usage pg_lock_status pg_trigger_depth
    pg_xact_commit_timestamp pg_jit_available pg_is_wal_replay_paused pg_stat_get_activity
    """
)

# They write, and leave nothing in the session. `nextval` and `setval` leave what `currval` reads; reading
# that is not safe.
_HARMLESS_WRITES = _names(
    """
    nextval setval pg_notify pg_advisory_xact_lock pg_advisory_xact_lock_shared
    pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
    """
)

# For each known extension, its volatile functions that are harmless. A function of an extension that is not
# listed here may do anything, whatever its label.
_HARMLESS_IN_EXTENSIONS = {
    "pgcrypto": _names(
        """
        gen_random_bytes gen_random_uuid gen_salt pgp_sym_encrypt pgp_sym_encrypt_bytea pgp_pub_encrypt
        pgp_pub_encrypt_bytea
        """
    ),
    "tablefunc": _names("normal_rand"),
    "tsm_system_rows": _names("system_rows"),
    "tsm_system_time": _names("system_time"),
    "uuid-ossp": _names("uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4"),
    "vector": _names(
        "hnswhandler ivfflathandler hnsw_bit_support hnsw_halfvec_support hnsw_sparsevec_support"
        " ivfflat_bit_support ivfflat_halfvec_support"
    ),
    **dict.fromkeys(
        _names(
            """
            bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch hstore
            intagg intarray isn lo ltree pg_trgm postgis seg unaccent xml2
            """
        ),
        frozenset[str](),
    ),
}

# They run SQL that they get as text, or read tables named in their arguments: any SQL, any table.
_RUNS_SQL = _names(
    """
    query_to_xml query_to_xmlschema query_to_xml_and_xmlschema table_to_xml table_to_xmlschema
    table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema database_to_xml
    database_to_xmlschema database_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema ts_stat
    """
)
_EXTENSIONS_RUNNING_SQL = {
    "tablefunc": _names("crosstab crosstab2 crosstab3 crosstab4 connectby"),
    "xml2": _names("xpath_table"),
    # They read the statistics of a table whose name they get.
    "postgis": _names(
        "st_estimatedextent _postgis_stats _postgis_selectivity _postgis_join_selectivity"
        " _postgis_index_extent"
    ),
}


def runs_sql(function: Function) -> bool:
    """Return whether a call may run SQL that is not analysed.

    The SQL comes from its arguments, or the function belongs to an unknown extension.
    """
    if function.is_builtin:
        # One of the two forms of `ts_rewrite` runs a query.
        return function.name in _RUNS_SQL or (
            function.name == "ts_rewrite" and function.arguments == "tsquery, text"
        )
    if not function.extension:
        return False
    known = function.extension in _HARMLESS_IN_EXTENSIONS
    return not known or function.name in _EXTENSIONS_RUNNING_SQL.get(function.extension, ())


def only_computes(function: Function) -> bool:
    """Return whether a call is known to do nothing but compute from its arguments."""
    if function.volatility != "immutable":
        return False
    return function.is_builtin or (bool(function.extension) and not runs_sql(function))


def only_reads(function: Function) -> bool:
    """Return whether a call changes nothing in the database, by its label and by what is known about it."""
    if runs_sql(function):
        return False
    if function.volatility != "volatile":
        return True
    if function.is_builtin:
        return function.name in _HARMLESS_READS or function.name.startswith(("pg_stat_get_", "pg_show_"))
    return function.name in _HARMLESS_IN_EXTENSIONS.get(function.extension, ())


def leaves_no_state(function: Function, call: Node | None = None) -> bool:
    """Return whether a call leaves nothing in the session.

    It must not read either what an earlier call left there.
    """
    if function.is_builtin and function.name == "set_config":
        return call is not None and _is_transaction_local(call)
    if function.is_builtin and function.name in _HARMLESS_WRITES:
        return True
    return only_reads(function)


def _is_transaction_local(call: Node) -> bool:
    args = call.nodes("args")
    value = args[2].datum("constvalue") if len(args) == 3 and args[2].kind == "CONST" else None
    return bool(value and value[0])


def hides_tables(function: Function) -> bool:
    """Return whether a call may read or write tables that the tree does not name."""
    if runs_sql(function):
        return True
    if function.is_builtin or function.volatility == "immutable":
        return False
    # The C functions of the known extensions only compute; their functions in SQL or PL/pgSQL are treated as
    # users' functions.
    return not (function.extension and function.language in ("c", "internal"))
