"""Functions and operators that never return null for arguments that are not null: a reviewed table.

A function is taken to be nullable unless it is listed here, or a rule stated here derives it from the
catalog. Many strict functions of the server do return null: ``array_length('{}', 1)``,
``substring('a' from 'b')``, ``to_char('infinity'::timestamp, 'YYYY')``, ``lower('empty'::int4range)``,
``scale('NaN'::numeric)``, ``'infinity'::timestamp::time``, from 18 on ``'null'::jsonb::integer``. A test
calls everything listed here with the edge values of its argument types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.server_catalog import Catalog

__all__ = ["AGGREGATES", "SET_COLUMNS", "WINDOW_FUNCTIONS", "Rule", "never_null"]


@dataclass(frozen=True, slots=True)
class Rule:
    """The condition under which a function's result cannot be null."""

    needs: Literal["all", "none", "any"] | tuple[int, ...]
    """The arguments that must not be null: all, none, at least one, or those at these positions."""
    because: str


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RAISES = "{} raises an error rather than return null"

# The server's own functions that need arguments that are not null, by name; all overloads except those in
# _EXCEPT.
_TOTAL_FUNCTIONS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        _RAISES,
        _names(
            """
            abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos
            cosd cosh cot cotd degrees div erf erfc exp factorial floor gamma gcd lcm lgamma ln log
            log10 mod pow power radians round sign sin sind sinh sqrt tan tand tanh trim_scale trunc
            width_bucket
            """
        ),
    ),
    (
        "{} has an answer for any text",
        _names(
            """
            ascii bit_count bit_length btrim casefold char_length character_length chr convert
            convert_from convert_to crc32 crc32c decode encode get_bit get_byte initcap is_normalized
            left length like lpad ltrim md5 normalize notlike octet_length overlay parse_ident position
            quote_ident quote_literal regexp_count regexp_instr regexp_like regexp_replace
            regexp_split_to_array repeat replace reverse right rpad rtrim set_bit set_byte sha224 sha256
            sha384 sha512 split_part starts_with strpos substr substring textcat to_bin to_hex to_oct
            translate unistr anytextcat textanycat bitcat byteacat like_escape similar_to_escape name
            text bpchar varchar upper lower unicode_assigned
            """
        ),
    ),
    (
        "{} is true or false",
        _names(
            """
            textlike textnlike texticlike texticnlike textregexeq textregexne texticregexeq
            texticregexne bpcharlike bpcharnlike bpchariclike bpcharicnlike bpcharregexeq bpcharregexne
            bpcharicregexeq bpcharicregexne namelike namenlike nameiclike nameicnlike nameregexeq
            nameregexne nameicregexeq nameicregexne bytealike byteanlike xideq xidneq
            xideqint4 xidneqint4
            """
        ),
    ),
    (
        _RAISES,
        _names(
            """
            age date date_add date_bin date_subtract date_trunc interval isfinite justify_days
            justify_hours justify_interval make_date make_interval make_time make_timestamp
            make_timestamptz timestamp timestamptz timezone time timetz to_date to_timestamp overlaps
            """
        ),
    ),
    (
        "a cast to {} fails or gives a value",
        _names(
            """
            bit bool bytea cidr float4 float8 int2 int4 int8 macaddr macaddr8 money numeric oid regclass
            char
            """
        ),
    ),
    (
        "{} has an answer for any array",
        _names(
            """
            array_larger array_smaller array_reverse array_sample array_shuffle array_sort array_to_json
            cardinality trim_array array_to_tsvector
            """
        ),
    ),
    (
        "{} is true or false",
        _names(
            """
            arraycontained arraycontains arrayoverlap jsonb_contained jsonb_contains jsonb_exists
            jsonb_exists_all jsonb_exists_any
            """
        ),
    ),
    (
        "{} has an answer for any JSON",
        _names(
            """
            json_array_length json_object json_strip_nulls json_typeof jsonb_array_length jsonb_concat
            jsonb_delete jsonb_delete_path jsonb_insert jsonb_object jsonb_path_query_array
            jsonb_path_query_array_tz jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof row_to_json
            to_json to_jsonb json_to_tsvector jsonb_to_tsvector
            """
        ),
    ),
    (
        "{} is true or false",
        _names(
            """
            elem_contained_by_multirange elem_contained_by_range isempty lower_inc lower_inf upper_inc
            upper_inf range_adjacent range_after range_before range_contained_by range_contains
            range_contains_elem range_overlaps range_overleft range_overright multirange_contains_elem
            multirange_contains_range multirange_contains_multirange multirange_contained_by_multirange
            multirange_contained_by_range range_contains_multirange range_contained_by_multirange
            multirange_overlaps_multirange multirange_overlaps_range range_overlaps_multirange
            """
        ),
    ),
    (
        "{} gives a range, if an empty one",
        _names(
            """
            range_intersect range_merge range_minus range_union multirange_intersect multirange_minus
            multirange_union multirange
            """
        ),
    ),
    (
        "{} has an answer for any address",
        _names(
            """
            abbrev broadcast family host hostmask inet_merge inet_same_family inetand inetmi inetmi_int8
            inetnot inetor inetpl int8pl_inet masklen netmask network network_overlap network_sub
            network_subeq network_sup network_supeq set_masklen macaddr8_set7bit
            """
        ),
    ),
    (
        "{} has an answer for any text",
        _names(
            """
            numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery to_tsvector
            ts_delete ts_filter ts_headline ts_match_qv ts_match_tq ts_match_tt ts_match_vq ts_rank
            ts_rank_cd tsquery_and tsquery_not tsquery_or tsquery_phrase tsvector_concat
            tsvector_to_array websearch_to_tsquery
            """
        ),
    ),
    ("{} is never null", _names("point_distance")),
    (
        "a setting that is missing is an error",
        _names("current_setting"),
    ),
    (
        "{} is never null",
        _names(
            """
            clock_timestamp current_database current_user gen_random_uuid now pg_backend_pid pi random
            random_normal session_user statement_timestamp timeofday transaction_timestamp txid_current
            pg_current_xact_id uuidv4 uuidv7 version nextval currval lastval setval set_config
            pg_size_pretty pg_size_bytes pg_sleep pg_sleep_for pg_sleep_until pg_input_is_valid
            pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
            pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared
            pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
            pg_try_advisory_xact_lock_shared hashtext hashtextextended
            """
        ),
    ),
)

# Overloads of the names above that do return null, with the case.
_NULLABLE_OVERLOADS = {
    "substring(text, text)": "no match",
    "substring(text, text, text)": "no match",
    "lower(anyrange)": "an empty or unbounded range",
    "lower(anymultirange)": "an empty or unbounded multirange",
    "upper(anyrange)": "an empty or unbounded range",
    "upper(anymultirange)": "an empty or unbounded multirange",
    "time(timestamp without time zone)": "infinity has no time",
    "time(timestamp with time zone)": "infinity has no time",
    "timetz(timestamp with time zone)": "infinity has no time",
    "current_setting(text, boolean)": "a setting that is missing",
    "length(path)": "geometry is not reviewed",
    "length(lseg)": "geometry is not reviewed",
    "point(path)": "geometry is not reviewed",
    **{
        f"{name}(jsonb)": "null inside JSON"
        for name in ("bool", "int2", "int4", "int8", "float4", "float8", "numeric")
    },
}

# Functions that do not need all of their arguments.
_PARTIAL_FUNCTIONS: dict[str, Rule] = {
    name: rule
    for rule, names in (
        (
            Rule("none", "{} takes nulls in its stride"),
            """
            concat json_build_object json_build_array jsonb_build_object jsonb_build_array num_nulls
            num_nonnulls pg_typeof quote_nullable array_append array_prepend pg_notify int4range int8range
            numrange daterange tsrange tstzrange int4multirange int8multirange nummultirange
            datemultirange tsmultirange tstzmultirange
            """,
        ),
        (Rule("any", "{}: one of the arrays is not null"), "array_cat"),
        (
            Rule((0,), "{}: its first argument is not null"),
            "concat_ws format string_to_array array_remove array_replace array_positions",
        ),
    )
    for name in names.split()
}
_PARTIAL_FUNCTIONS["array_to_string"] = Rule((0, 1), "{}: array and separator are not null")
_PARTIAL_FUNCTIONS["array_fill"] = Rule("all", "{} gives an array")
_PARTIAL_FUNCTIONS["jsonb_set_lax"] = Rule("all", "{} has an answer for any JSON")
# Multirange constructors of no arguments or of an array are strict: with a null they return null.
for _name in [name for name in _PARTIAL_FUNCTIONS if name.endswith("multirange")]:
    _PARTIAL_FUNCTIONS[_name] = Rule("all", "{} gives a multirange, if an empty one")

# Functions of clocks, numbers and calendars raise an error (overflow, division by zero), or have infinities.
_ARITHMETIC_OPERATORS = frozenset(
    ["+", "-", "*", "/", "%", "^", "|/", "||/", "@", "&", "|", "#", "~", "<<", ">>"]
)
_ARITHMETIC_TYPES = _names(
    """
    int2 int4 int8 float4 float8 numeric money date time timetz timestamp timestamptz interval bit
    varbit oid pg_lsn
    """
)
_EXTRACT_AT_INFINITY = {
    "date": _names("year decade century millennium julian isoyear epoch"),
    "timestamp without time zone": _names("year decade century millennium julian isoyear epoch"),
    "timestamp with time zone": _names("year decade century millennium julian isoyear epoch"),
    "interval": _names("year decade century millennium epoch"),
    "time without time zone": _names("hour minute second milliseconds microseconds epoch"),
    "time with time zone": _names("hour minute second milliseconds microseconds epoch"),
}

# Extensions, by the extension's name, so that a user's function of the same name does not count as one of
# these.
_EXTENSION_FUNCTIONS: dict[str, frozenset[str]] = {
    "vector": _names(
        """
        l2_distance inner_product cosine_distance l1_distance hamming_distance jaccard_distance
        vector_dims vector_norm l2_norm l2_normalize binary_quantize subvector vector_add vector_sub
        vector_mul vector_concat vector_negative_inner_product vector_spherical_distance
        vector_l2_squared_distance halfvec_add halfvec_sub halfvec_mul halfvec_concat
        halfvec_negative_inner_product halfvec_l2_squared_distance halfvec_spherical_distance
        sparsevec_negative_inner_product sparsevec_l2_squared_distance vector halfvec sparsevec
        array_to_vector array_to_halfvec array_to_sparsevec vector_to_float4 halfvec_to_float4
        vector_to_halfvec vector_to_sparsevec halfvec_to_vector halfvec_to_sparsevec sparsevec_to_vector
        sparsevec_to_halfvec
        """
    ),
    "pg_trgm": _names(
        """
        similarity word_similarity strict_word_similarity show_trgm similarity_dist similarity_op
        word_similarity_op word_similarity_commutator_op word_similarity_dist_op
        word_similarity_dist_commutator_op strict_word_similarity_op
        strict_word_similarity_commutator_op strict_word_similarity_dist_op
        strict_word_similarity_dist_commutator_op
        """
    ),
    "citext": _names(
        """
        texticlike texticnlike texticregexeq texticregexne citext citext_smaller citext_larger replace
        strpos translate regexp_replace regexp_split_to_array
        """
    ),
    "unaccent": _names("unaccent"),
    "fuzzystrmatch": _names(
        """
        levenshtein levenshtein_less_equal soundex metaphone difference
        """
    ),
    "pgcrypto": _names(
        """
        digest hmac crypt gen_salt gen_random_bytes gen_random_uuid encrypt decrypt pgp_sym_encrypt
        pgp_sym_decrypt
        """
    ),
    "uuid-ossp": _names(
        """
        uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil
        uuid_ns_dns uuid_ns_url uuid_ns_oid uuid_ns_x500
        """
    ),
}

_BY_NAME = {name: Rule("all", because) for because, names in _TOTAL_FUNCTIONS for name in names}
_NULLABLE_OVERLOAD_NAMES = frozenset(signature.partition("(")[0] for signature in _NULLABLE_OVERLOADS)


def never_null(catalog: Catalog, oid: int, name: str = "") -> Rule | None:
    """Return the condition under which the function's result cannot be null; ``None`` if nothing is known.

    ``name`` is the function's name in the reason: the operator's name if it was written as an operator.
    """
    function = catalog.function(oid)
    rule = _find(catalog, function) if function is not None else None
    return Rule(rule.needs, rule.because.format(name or function.name)) if rule and function else None


def _find(catalog: Catalog, function: Function) -> Rule | None:
    oid = function.oid
    if function.kind != "f" or function.returns_set:
        return None
    if function.extension:
        if oid in catalog.routines.comparisons:
            return Rule("all", "{} is true or false")
        if function.name in _EXTENSION_FUNCTIONS.get(function.extension, ()):
            return Rule("all", _RAISES)
        return None
    if not function.is_builtin:
        return None
    if oid in catalog.routines.comparisons:
        return Rule("all", "{} is true or false")
    partial = _PARTIAL_FUNCTIONS.get(function.name)
    if partial is not None:
        return partial
    if (
        function.name in _NULLABLE_OVERLOAD_NAMES
        and f"{function.name}({function.arguments})" in _NULLABLE_OVERLOADS
    ):
        return None
    listed = _BY_NAME.get(function.name)
    if listed is not None:
        return listed
    if _is_arithmetic(catalog, function):
        return Rule("all", _RAISES)
    return None


def _is_arithmetic(catalog: Catalog, function: Function) -> bool:
    for operator in catalog.routines.operators_of(function.oid):
        if operator.name not in _ARITHMETIC_OPERATORS:
            continue
        rows = [catalog.types.row(oid) for oid in (operator.left, operator.right) if oid]
        if all(
            row is not None and row.schema == "pg_catalog" and row.name in _ARITHMETIC_TYPES for row in rows
        ):
            return True
    return False


def extract_handles_infinity(function: Function, unit: str) -> bool:
    """Return whether ``extract(unit from …)`` also has a value at infinity."""
    match = re.fullmatch(r"text, (.*)", function.arguments)
    return match is not None and unit.lower() in _EXTRACT_AT_INFINITY.get(match[1], ())


# Aggregates of the server over at least one row whose argument is not null. `var_samp`, `stddev`, `corr` and
# similar ones are null for a single row.
AGGREGATES: dict[str, str] = {
    **dict.fromkeys(
        _names(
            """
            sum avg min max any_value bit_and bit_or bit_xor bool_and bool_or every string_agg array_agg
            json_agg jsonb_agg json_agg_strict jsonb_agg_strict json_object_agg jsonb_object_agg
            json_object_agg_strict jsonb_object_agg_strict json_object_agg_unique
            jsonb_object_agg_unique json_object_agg_unique_strict jsonb_object_agg_unique_strict
            range_agg range_intersect_agg xmlagg mode percentile_cont percentile_disc stddev_pop var_pop
            """
        ),
        "{} over at least one row that is not null",
    ),
}
"""Aggregates that are null over no rows, and otherwise not null if their arguments are not."""

KEEPS_NULLS = _names(
    """
    array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg json_object_agg_unique
    jsonb_object_agg_unique
    """
)
"""Aggregates that include nulls: not null over any row at all."""

ALWAYS_COUNTED = _names("count regr_count rank dense_rank percent_rank cume_dist")
"""Aggregates that are never null, not even over no rows."""

WINDOW_FUNCTIONS: dict[str, str] = dict.fromkeys(
    _names("row_number rank dense_rank percent_rank cume_dist"), "{} is never null"
)
"""Window functions that are never null."""

SET_COLUMNS: dict[str, tuple[bool, ...]] = {
    "generate_series": (True,),
    "generate_subscripts": (True,),
    "jsonb_array_elements": (True,),
    "json_array_elements": (True,),
    "jsonb_array_elements_text": (False,),
    "json_array_elements_text": (False,),
    "jsonb_each": (True, True),
    "json_each": (True, True),
    "jsonb_each_text": (True, False),
    "json_each_text": (True, False),
    "jsonb_object_keys": (True,),
    "json_object_keys": (True,),
    "jsonb_path_query": (True,),
    "jsonb_path_query_tz": (True,),
    "regexp_matches": (True,),
    "regexp_split_to_table": (True,),
    "string_to_table": (False,),
    "ts_parse": (True, True),
}
"""Set-returning functions, each with the columns that are never null.

With a null argument these return no rows.
"""
