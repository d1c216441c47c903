"""The settings of ``set`` lines, compared with the server's: their names, types, bounds and harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

import psycopg
from psycopg import sql

from plainsql.analysis.model import Analysis, PgType, SettingFact
from plainsql.errors import ContractError
from plainsql.statements import Bounds, Parameter, Statement
from plainsql.statements.header_settings import is_known_setting
from plainsql.statements.model import QuerySetting

__all__ = ["setting_facts", "with_setting_bounds"]

_FACTS: Final = """
select lower(s.name), s.vartype, s.context, s.category, coalesce(s.unit, ''), s.min_val, s.max_val,
  coalesce(s.enumvals, '{}')
from pg_catalog.pg_settings as s
"""
_LIBRARIES: Final = """
select distinct p.probin
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
where d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e' and p.probin is not null
order by p.probin
"""
"""The libraries of the extensions. Their settings are known from the time that a session has loaded them."""
_HARMLESS: Final = ("Query Tuning", "Resource Usage / Memory", "Resource Usage / Asynchronous Behavior")
"""The groups of PostgreSQL's settings that change plans and resources, and no result."""
_MOST: Final = Decimal("1e300")
_KINDS: Final = {
    "integer": ("int2", "int4", "int8"),
    "real": ("int2", "int4", "int8", "float4", "float8", "numeric"),
    "bool": ("bool",),
    "enum": ("text", "varchar"),
    "string": ("text", "varchar"),
}
"""By type of a setting: the types of a parameter of the text that may also be its value."""


def setting_facts(
    connection: Any, statement: Statement, analyses: tuple[Analysis, ...]
) -> tuple[SettingFact, ...]:
    """Return what the server knows of a statement's settings, in their order.

    Raises ``ContractError`` for a setting that a query may not have, and for a value that it cannot have.
    """
    if not statement.settings:
        return ()
    known = _known(connection, statement)
    facts = []
    for setting in statement.settings:
        fact = known.get(setting.name)
        if fact is None:
            raise _error(statement, setting, f"there is no setting {setting.name}", _meant(setting, known))
        _refuse_harmful(statement, setting, *fact)
        facts.append(fact[0])
        if setting.value is not None:
            _check_value(connection, statement, setting)
        else:
            _check_type(statement, setting, fact[0], analyses)
    return tuple(facts)


def with_setting_bounds(statement: Statement, facts: tuple[SettingFact, ...]) -> Statement:
    """Return a statement whose settings' parameters have the bounds of the server, or narrower ones.

    Raises ``ContractError`` if the header's bounds or default are not within the server's.
    """
    if not statement.setting_parameters:
        return statement
    by_parameter: dict[str, list[SettingFact]] = {}
    for setting, fact in zip(statement.settings, facts, strict=True):
        by_parameter.setdefault(setting.parameter or "", []).append(fact)
    _check_examples(statement, by_parameter)
    return replace(
        statement,
        setting_parameters=tuple(
            _bounded(statement, parameter, by_parameter[parameter.name])
            for parameter in statement.setting_parameters
        ),
    )


def _check_examples(statement: Statement, facts: Mapping[str, list[SettingFact]]) -> None:
    """Raise ``ContractError`` if an example has a value that its setting cannot have."""
    for example in statement.examples:
        for name, value in example.values:
            for fact in facts.get(name, ()):
                is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
                if fact.labels and isinstance(value, str) and value.lower() not in fact.labels:
                    wanted = ", ".join(fact.labels)
                elif is_number and isinstance(value, int | Decimal) and not _is_within(value, fact):
                    wanted = f"{fact.low}..{fact.high}"
                else:
                    continue
                raise ContractError(
                    f"{statement.name}: {name} is no value of {fact.name}, expected {wanted}",
                    place=example.place,
                    hint=f"give {name} another value",
                )


def _bounded(statement: Statement, parameter: Parameter, facts: list[SettingFact]) -> Parameter:
    bounds = parameter.bounds or Bounds()
    if len({(fact.type, fact.labels) for fact in facts}) > 1:
        names = " and ".join(fact.name for fact in facts)
        raise ContractError(
            f"{statement.name}: :{parameter.name} is the value of {names}, which have different types",
            place=parameter.places[0],
            hint="give each setting a parameter of its own",
        )
    for fact in facts:
        if fact.type not in ("integer", "real") and (bounds.low, bounds.high) != (None, None):
            raise ContractError(
                f"{statement.name}: {parameter.name} has bounds, and {fact.name} is of the type {fact.type}",
                place=bounds.place or parameter.places[0],
                hint="remove the bounds",
            )
        ends = {"low": bounds.low, "high": bounds.high}
        default = bounds.default if isinstance(bounds.default, int | Decimal) else None
        for what, given in (*ends.items(), ("default", default)):
            if given is None or isinstance(given, bool) or _is_within(given, fact):
                continue
            shown = "the default" if what == "default" else "the bound"
            raise ContractError(
                f"{statement.name}: {shown} {given} of {parameter.name} is out of the range of {fact.name},"
                f" expected {fact.low}..{fact.high}",
                place=bounds.place or parameter.places[0],
                hint=f"write param {parameter.name}: {fact.low}..{fact.high}, or a narrower range",
            )
        bounds = replace(
            bounds,
            low=fact.low if bounds.low is None else bounds.low,
            high=fact.high if bounds.high is None else bounds.high,
        )
    return replace(parameter, bounds=bounds)


def _is_within(number: int | Decimal, fact: SettingFact) -> bool:
    return (fact.low is None or number >= fact.low) and (fact.high is None or number <= fact.high)


def _known(connection: Any, statement: Statement) -> dict[str, tuple[SettingFact, str, str]]:
    """Return the server's settings by name: each with its context and its group."""
    known = dict(_read(connection))
    if any(setting.name not in known for setting in statement.settings):
        for (library,) in connection.execute(_LIBRARIES).fetchall():
            # A role that is no superuser may not load them by name.
            with suppress(psycopg.Error), connection.transaction():
                connection.execute(sql.SQL("load {}").format(sql.Literal(library)))
        with suppress(psycopg.Error), connection.transaction():
            connection.execute("select '[1]'::vector")
        known = dict(_read(connection))
    return known


def _read(connection: Any) -> Iterator[tuple[str, tuple[SettingFact, str, str]]]:
    for name, kind, context, group, unit, low, high, labels in connection.execute(_FACTS).fetchall():
        fact = SettingFact(name, kind, unit, _number(kind, low), _number(kind, high), tuple(labels))
        yield name, (fact, context, group)


def _number(kind: str, text: str | None) -> int | Decimal | None:
    if text is None or kind not in ("integer", "real"):
        return None
    number = Decimal(text)
    if abs(number) > _MOST:
        return None
    return int(number) if number == number.to_integral_value() else number


def _refuse_harmful(
    statement: Statement, setting: QuerySetting, fact: SettingFact, context: str, group: str
) -> None:
    """Raise ``ContractError`` unless any role may set a setting, and it is known to be harmless."""
    if context != "user":
        raise _error(
            statement,
            setting,
            f"{fact.name} is no setting that a role may set (its context is {context})",
            "set it for the server, or grant the role the right and set it for the connection",
        )
    # A setting with a dot is in the catalog only if the library of an extension has defined it.
    if not ("." in fact.name or is_known_setting(fact.name) or group.startswith(_HARMLESS)):
        raise _error(
            statement,
            setting,
            f"a query cannot set {fact.name}: it is not known to change plans and resources only",
            "remove the line, or set it for the whole connection: connect(server_settings=…)",
        )


def _check_value(connection: Any, statement: Statement, setting: QuerySetting) -> None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(
                "select pg_catalog.set_config(%s, %s, true)", (setting.name, setting.value), prepare=False
            )
    except psycopg.Error as error:
        if connection.closed:
            raise
        raise ContractError(
            f"{statement.name}: {error.diag.message_primary}",
            place=setting.value_place,
            detail=error.diag.message_detail,
            hint=error.diag.message_hint or f"give {setting.name} a value that the server accepts",
        ) from None


def _check_type(
    statement: Statement, setting: QuerySetting, fact: SettingFact, analyses: tuple[Analysis, ...]
) -> None:
    """Raise ``ContractError`` if a parameter of the text cannot be the value of a setting too."""
    types = {each.name: each.type for analysis in analyses for each in analysis.parameters}
    type_ = types.get(setting.parameter or "")
    if type_ is None or _below_domains(type_).name in _KINDS[fact.type]:
        return
    raise ContractError(
        f"{statement.name}: :{setting.parameter} is {type_}, and {setting.name} is of the type {fact.type}",
        place=setting.value_place,
        hint="give the setting a parameter of its own",
    )


def _below_domains(type_: PgType) -> PgType:
    while type_.kind == "domain" and type_.element is not None:
        type_ = type_.element
    return type_


def _meant(setting: QuerySetting, known: Mapping[str, object]) -> str:
    close = get_close_matches(setting.name, known, 1, 0.75)
    if close:
        return f"did you mean {close[0]}?"
    if "." in setting.name:
        return "the extension that defines it must be created by a migration"
    return "see the names in pg_settings"


def _error(statement: Statement, setting: QuerySetting, message: str, hint: str) -> ContractError:
    return ContractError(f"{statement.name}: {message}", place=setting.place, hint=hint)
