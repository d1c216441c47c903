"""The text of a SQL file as a statement: the header, the body, and their agreement."""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import NoReturn

from plainsql.errors import SqlFileError, SqlFolderError
from plainsql.statements.compilation import compile_body
from plainsql.statements.copy_header import copy_errors
from plainsql.statements.header import close_match, read_layout
from plainsql.statements.header_encryption import check_parameters
from plainsql.statements.header_examples import check_examples
from plainsql.statements.header_settings import check_settings, setting_parameters
from plainsql.statements.header_values import FORMS, Keys, read_keys
from plainsql.statements.model import Choice, Parameter, Statement
from plainsql.statements.optional_lines import FLAG_VALUES
from plainsql.statements.other_tools import lone_at, other_tools_mark
from plainsql.statements.row_parameters import check_rows
from plainsql.statements.scanner import scan
from plainsql.statements.source import Source
from plainsql.statements.statement_kinds import check_kind
from plainsql.statements.variants import Compiled, is_value

__all__ = ["parse"]


def parse(text: str, *, name: str, path: str) -> Statement:
    """Read the text of one file.

    ``name`` is the statement's name (``realty.leads.get_by_id``), ``path`` the file as errors should show it.

    Raises:
        SqlFileError: the file has one error.
        SqlFolderError: the file has several; the error holds them in the order of their places.
    """
    source = Source(text, path)
    errors: list[SqlFileError] = []
    _check_characters(source)
    if not text.strip():
        raise source.error(0, "the file is empty", hint="write a header (-- returns: …) and a query")
    description, entries, after = read_layout(source, errors)
    if not any(entry.key == "returns" for entry in entries) and (mark := other_tools_mark(source)):
        raise mark  # the other errors follow from the other form of the file
    keys = read_keys(source, entries, name.rpartition(".")[0], errors)
    if not any(entry.key == "returns" for entry in entries) and not errors:
        errors.append(_no_returns(source, after))
    # The body begins with its first line that is not empty.
    start = after + len(text[after:]) - len(text[after:].lstrip())
    start = text.rfind("\n", 0, start) + 1 if start < len(text) else start
    line = text.count("\n", 0, start) + 1
    compiled: Compiled | None = None
    if start == len(text):
        errors.append(source.error(0, "the file has only comments", hint="write the query below the header"))
    else:
        try:
            compiled = compile_body(text[start:], name=name, path=path, line=line)
        except SqlFileError as error:
            errors.append(error)
        else:
            errors += [error for error in (check_kind(compiled.source), lone_at(compiled.source)) if error]
    if compiled is None:
        _raise(errors)
    errors += check_rows(
        compiled.source,
        compiled.parameters,
        {name: starts[0] for name, starts in compiled.offsets.items()},
        compiled.optional,
    )
    errors += copy_errors(source, compiled, keys, entries)
    _check_parameters(source, compiled, keys, errors)
    typed = {*keys.types, *keys.encrypted}
    check_settings(source, compiled, keys.settings, keys.setting_offsets, typed, errors)
    of_settings = setting_parameters(keys.settings, compiled, keys.bounds, keys.described)
    more = [parameter.name for parameter in of_settings]
    examples = check_examples(source, compiled, keys.examples, keys.bounds, errors, more)
    if keys.returns is None or errors:
        _raise(errors)
    return Statement(
        name=name,
        path=path,
        source=text,
        description=description,
        returns=keys.returns,
        parameters=tuple(
            Parameter(
                parameter,
                parameter in compiled.optional,
                tuple(compiled.source.place(offset) for offset in offsets),
                keys.bounds.get(parameter),
                keys.encrypted.get(parameter),
                keys.types.get(parameter),
                *keys.described.get(parameter, ())[:1],
            )
            for parameter, offsets in compiled.offsets.items()
        ),
        choices=tuple(
            Choice(
                choice,
                values,
                _default(keys, choice, values),
                compiled.source.place(compiled.marks[choice]),
                *keys.described.get(choice, ())[:1],
            )
            for choice, values in compiled.choices.items()
        ),
        columns=tuple(keys.columns),
        cache=keys.cache,
        allow=tuple(keys.allow),
        autobatch=keys.autobatch,
        body=compiled.body[: compiled.end].rstrip(),
        body_line=line,
        compiled=compiled,
        examples=tuple(examples),
        errors=tuple(keys.errors),
        paged=keys.paged,
        deprecated=keys.deprecated,
        settings=tuple(keys.settings),
        setting_parameters=of_settings,
        replica=keys.replica,
    )


def _raise(errors: list[SqlFileError]) -> NoReturn:
    if len(errors) == 1:
        raise errors[0]
    raise SqlFolderError(sorted(errors, key=lambda e: (e.place.line, e.place.column) if e.place else (0, 0)))


def _check_characters(source: Source) -> None:
    text = source.text
    for character, what, hint in (
        ("\0", "a NUL character, which PostgreSQL does not accept", "remove it"),
        (
            "\r",
            "a carriage return without a line feed",
            "save the file with Unix or Windows line endings",
        ),
    ):
        if (offset := text.find(character)) >= 0 and text[offset : offset + 2] != "\r\n":
            raise source.error(offset, what, hint=hint)


def _no_returns(source: Source, after: int) -> SqlFileError:
    late = re.compile(r"^[ \t]*--[ \t]*(returns[ \t]*:)", re.MULTILINE).search(source.text, after)
    if late:
        return source.error(
            late.start(1),
            "returns: is below the header",
            detail="the header ends at the first line that does not begin with two dashes",
            hint="move it to the comment lines at the top of the file",
        )
    return source.error(
        0,
        "the header does not say what the query returns",
        hint=f"add a line at the top: -- returns: with {FORMS}",
    )


def _default(keys: Keys, choice: str, values: tuple[str | bool, ...]) -> str | bool | None:
    bounds = keys.bounds.get(choice)
    if bounds and isinstance(bounds.default, str | bool):
        return bounds.default
    return False if values == FLAG_VALUES else None


def _check_parameters(source: Source, compiled: Compiled, keys: Keys, errors: list[SqlFileError]) -> None:
    """Compare the header's ``param`` keys with the parameters of the text and of settings."""
    of_settings = [setting.parameter for setting in keys.settings if setting.parameter is not None]
    errors.extend(
        compiled.source.error(
            offsets[0],
            f"{parameter} is a keyword of Python and cannot be the name of a parameter",
            hint=f"call it :{parameter}_, or choose another name",
        )
        for parameter, offsets in compiled.offsets.items()
        if iskeyword(parameter)
    )
    for name in keys.encrypted:
        if name in compiled.choices:
            errors.append(
                source.error(
                    keys.bounds_offsets[name],
                    f"{name} chooses lines and is not sent, so there is nothing to encrypt",
                    hint="remove the line",
                )
            )
        elif name not in compiled.offsets and name not in keys.bounds and name not in of_settings:
            errors.append(_not_there(source, compiled, name, keys.bounds_offsets[name], of_settings))
    errors.extend(
        _not_there(source, compiled, name, offset, of_settings)
        for name, (_, offset) in keys.described.items()
        if name not in {*compiled.offsets, *compiled.choices, *keys.bounds, *keys.encrypted, *of_settings}
    )
    known = {name: each for name, each in keys.encrypted.items() if name in compiled.offsets}
    check_parameters(source, compiled.offsets, known, keys.bounds_offsets, errors)
    for name, bounds in keys.bounds.items():
        offset = keys.bounds_offsets[name]
        if name in compiled.choices:
            values = compiled.choices[name]
            flag = values == FLAG_VALUES
            if name in keys.types:
                errors.append(
                    source.error(
                        offset, f"{name} chooses lines, and has no type of its own", hint="remove the type"
                    )
                )
            elif bounds.low is not None or bounds.high is not None:
                what = "flag" if flag else "choice"
                errors.append(
                    source.error(offset, f"{name} is a {what} and has no bounds", hint="remove the bounds")
                )
            elif flag and not isinstance(bounds.default, bool):
                errors.append(
                    source.error(
                        offset,
                        f"{name} is a flag, and its default is neither true nor false",
                        hint=f"write param {name}: = true, or remove the line: a flag is false by default",
                    )
                )
            elif not is_value(bounds.default, values):
                listed = ", ".join(map(str, values))
                errors.append(
                    source.error(
                        offset,
                        f"the default of {name} is not one of its values, expected one of {listed}",
                        hint=f"write, for example, param {name}: = '{values[0]}'",
                    )
                )
        elif name not in compiled.offsets and name not in of_settings:
            errors.append(_not_there(source, compiled, name, offset, of_settings))
        elif bounds.has_default and name in compiled.optional:
            errors.append(
                source.error(
                    offset,
                    f"{name} is only on optional lines and cannot have a default",
                    detail="a default would keep its lines in every call",
                    hint="remove the default, or --? from its lines",
                )
            )


def _not_there(
    source: Source, compiled: Compiled, name: str, offset: int, of_settings: list[str]
) -> SqlFileError:
    """Return the error for a parameter of the header that the statement does not have."""
    body = compiled.source
    shadow = re.compile(rf"(?<![:\w]):{re.escape(name)}(?!\w)")
    for token in scan(body.text, path=body.path, line=body.line):
        hit = shadow.search(body.text, token.start, token.end)
        if hit and token.kind in ("line_comment", "block_comment", "string", "quoted_name"):
            what = {"string": "string", "quoted_name": "quoted name"}.get(token.kind, "comment")
            return source.error(
                offset,
                f":{name} is only in a {what}, where it is not a parameter",
                detail=f"found at {body.place(hit.start())}",
                hint="use it in the query, or remove this line",
            )
    known = [*dict.fromkeys((*compiled.parameters, *compiled.choices, *of_settings))]
    meant = close_match(name, known, 0.6)
    if meant:
        hint = f"did you mean {meant}?"
    elif known:
        hint = f"use one of its parameters: {', '.join(known)}"
    else:
        hint = "the query has no parameters: remove this line"
    return source.error(offset, f"the query has no parameter :{name}", hint=hint)
