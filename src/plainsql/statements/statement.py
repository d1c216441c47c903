"""The text of a SQL file as a statement: the header, the body, and what they say of each other."""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import NoReturn

from plainsql.errors import SqlFileError, SqlFolderError

from .encryption import check_parameters
from .foreign import lone_at, other_tools_mark
from .header import close_match, read_layout
from .keys import FORMS, Keys, read_keys
from .misplaced import check_kind
from .model import Choice, Parameter, Statement
from .scanner import scan
from .source import Source
from .variants import Compiled, compile_body

__all__ = ["parse"]


def parse(text: str, *, name: str, path: str) -> Statement:
    """Read the text of one file.

    ``name`` is the statement's name (``realty.leads.get_by_id``), ``path`` the file as errors should show it.

    Raises:
        SqlFileError: one thing is wrong.
        SqlFolderError: several things are; it holds them in the order of their places.
    """
    source = Source(text, path)
    errors: list[SqlFileError] = []
    _check_characters(source)
    if not text.strip():
        raise source.error(0, "the file is empty", hint="Write a header (-- returns: …) and a query.")
    description, entries, after = read_layout(source, errors)
    keys = read_keys(source, entries, name.rpartition(".")[0], errors)
    if not any(entry.key == "returns" for entry in entries) and not errors:
        errors.append(_no_returns(source, after))
    # The body begins with its first line that is not empty.
    start = after + len(text[after:]) - len(text[after:].lstrip())
    start = text.rfind("\n", 0, start) + 1 if start < len(text) else start
    line = text.count("\n", 0, start) + 1
    compiled: Compiled | None = None
    if start == len(text):
        errors.append(
            source.error(
                0, "there is no SQL statement here, only comments", hint="Write the query below the header."
            )
        )
    else:
        try:
            compiled = compile_body(text[start:], name=name, path=path, line=line)
        except SqlFileError as error:
            errors.append(error)
        else:
            errors += [error for error in (check_kind(compiled.source), lone_at(compiled.source)) if error]
    if compiled is None:
        _raise(errors)
    _check_parameters(source, compiled, keys, errors)
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
            )
            for parameter, offsets in compiled.offsets.items()
        ),
        choices=tuple(
            Choice(choice, values, _default(keys, choice), compiled.source.place(compiled.marks[choice]))
            for choice, values in compiled.choices.items()
        ),
        columns=tuple(keys.columns),
        cache=keys.cache,
        allow=tuple(keys.allow),
        autobatch=keys.autobatch,
        body=compiled.body[: compiled.end].rstrip(),
        body_line=line,
        compiled=compiled,
    )


def _raise(errors: list[SqlFileError]) -> NoReturn:
    if len(errors) == 1:
        raise errors[0]
    raise SqlFolderError(sorted(errors, key=lambda e: (e.place.line, e.place.column) if e.place else (0, 0)))


def _check_characters(source: Source) -> None:
    text = source.text
    for character, what, hint in (
        ("\0", "a NUL character, which PostgreSQL cannot take", "Remove it."),
        (
            "\r",
            "a carriage return without a line feed",
            "Save the file with the line ends of Unix or Windows.",
        ),
    ):
        if (offset := text.find(character)) >= 0 and text[offset : offset + 2] != "\r\n":
            raise source.error(offset, what, hint=hint)


def _no_returns(source: Source, after: int) -> SqlFileError:
    late = re.compile(r"^[ \t]*--[ \t]*(returns[ \t]*:)", re.MULTILINE).search(source.text, after)
    if late:
        return source.error(
            late.start(1),
            "returns: stands below the header",
            detail="The header ends at the first line that is empty or no comment of two dashes.",
            hint="Move it up to the comment lines at the top of the file.",
        )
    if mark := other_tools_mark(source):
        return mark
    return source.error(
        0,
        "the header does not say what the query returns",
        hint=f"Add a line at the top, -- returns: followed by {FORMS}.",
    )


def _default(keys: Keys, choice: str) -> str | None:
    bounds = keys.bounds.get(choice)
    return bounds.default if bounds and isinstance(bounds.default, str) else None


def _check_parameters(source: Source, compiled: Compiled, keys: Keys, errors: list[SqlFileError]) -> None:
    """Hold the header's ``param`` keys against the parameters of the text."""
    errors.extend(
        compiled.source.error(
            offsets[0],
            f"{parameter} is a keyword of Python and cannot be the name of a parameter",
            hint=f"Call it :{parameter}_ or something better.",
        )
        for parameter, offsets in compiled.offsets.items()
        if iskeyword(parameter)
    )
    for name in keys.encrypted:
        if name in compiled.choices:
            errors.append(
                source.error(
                    keys.bounds_offsets[name],
                    f"{name} is a choice and is not sent, so there is nothing to encrypt",
                    hint="Remove the line.",
                )
            )
        elif name not in compiled.offsets and name not in keys.bounds:
            errors.append(_not_there(source, compiled, name, keys.bounds_offsets[name]))
    known = {name: each for name, each in keys.encrypted.items() if name in compiled.offsets}
    check_parameters(source, compiled.offsets, known, keys.bounds_offsets, errors)
    for name, bounds in keys.bounds.items():
        offset = keys.bounds_offsets[name]
        if name in compiled.choices:
            values = compiled.choices[name]
            if bounds.low is not None or bounds.high is not None:
                errors.append(
                    source.error(offset, f"{name} is a choice and has no bounds", hint="Remove the bounds.")
                )
            elif bounds.default not in values:
                listed = ", ".join(values)
                errors.append(
                    source.error(
                        offset,
                        f"the default of {name} is none of its values, expected one of {listed}",
                        hint=f"Write, for example, param {name}: = '{values[0]}'",
                    )
                )
        elif name not in compiled.offsets:
            errors.append(_not_there(source, compiled, name, offset))
        elif bounds.has_default and name in compiled.optional:
            errors.append(
                source.error(
                    offset,
                    f"{name} stands on optional lines only and cannot have a default",
                    detail="With a default its lines would never be left out.",
                    hint="Remove the default, or the marks --? of its lines.",
                )
            )


def _not_there(source: Source, compiled: Compiled, name: str, offset: int) -> SqlFileError:
    """Say why a parameter of the header is none of the statement."""
    body = compiled.source
    shadow = re.compile(rf"(?<![:\w]):{re.escape(name)}(?!\w)")
    for token in scan(body.text, path=body.path, line=body.line):
        hit = shadow.search(body.text, token.start, token.end)
        if hit and token.kind in ("line_comment", "block_comment", "string", "quoted_name"):
            what = {"string": "string", "quoted_name": "quoted name"}.get(token.kind, "comment")
            return source.error(
                offset,
                f":{name} stands only in a {what}, where it is no parameter",
                detail=f"It is at {body.place(hit.start())}.",
                hint="Use it in the query, or remove this line.",
            )
    known = [*compiled.parameters, *compiled.choices]
    meant = close_match(name, known, 0.6)
    if meant:
        hint = f"Did you mean {meant}?"
    elif known:
        hint = f"Its parameters are {', '.join(known)}."
    else:
        hint = "The query has no parameters: remove this line."
    return source.error(offset, f"the query has no parameter :{name}", hint=hint)
