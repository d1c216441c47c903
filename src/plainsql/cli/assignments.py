"""The words after a query's name, ``name=text``, ``name:=json`` and ``--flag``, as the arguments of a call.

Text is sent as it was typed, and the server reads it as the parameter's type: ``id=42``,
``since=yesterday``. JSON can express what text cannot: ``notes:=null``, ``ids:='["a", "b"]'``,
``embedding:=@vector.json``. A flag is ``--only-open``, ``--no-only-open`` or ``only_open=true``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from plainsql.errors import BindError
from plainsql.statements import Choice, Parameter, Statement, is_value
from plainsql.statements.header import close_match

__all__ = ["Given", "expected", "read_assignments"]

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(:?=)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Given:
    """The argument of one parameter on the command line."""

    text: str
    """The text as it was typed, without the sign."""
    is_json: bool
    value: Any
    """The text, or the decoded JSON with its numbers as ``int`` or ``Decimal``."""


def read_assignments(
    statement: Statement, words: Sequence[str], command: str = "run", *, complete: bool = True
) -> dict[str, Given]:
    """Read the words, and check them against the parameters of the query.

    With ``complete=False``, parameters may be missing.

    Raises ``BindError`` if a word is no assignment, if a name is unknown, missing or given twice, or if a
    value is outside the header's bounds or not among a choice's values. The message never holds a value.
    """
    given: dict[str, Given] = {}
    for number, word in enumerate(words, 1):
        match = _ASSIGNMENT.fullmatch(
            _flag_as_assignment(statement, word, command) if word.startswith("-") else word
        )
        if match is None:
            raise BindError(
                f"word {number} after the query's name is neither name=text nor name:=json",
                hint="quote a value with spaces: name='two words'",
            )
        name, sign, text = match.groups()
        if name in given:
            raise BindError(f"{statement.name}: {name} is given twice", hint="give it once")
        given[name] = _read_json(name, text) if sign == ":=" else Given(text, False, text)
    _check_names(statement, given, command, complete=complete)
    for parameter in (*statement.parameters, *statement.setting_parameters):
        if parameter.name in given:
            _check_bounds(statement, parameter, given[parameter.name])
    for choice in statement.choices:
        if choice.name not in given:
            continue
        value = given[choice.name].value
        if choice.is_flag and value in ("true", "false"):
            value = value == "true"
            given[choice.name] = Given(given[choice.name].text, True, value)
        if not is_value(value, choice.values):
            words = _words(choice)
            raise BindError(
                f"{statement.name}: {choice.name}: expected one of {', '.join(words)}",
                hint=f"write {_option(choice.name)}" if choice.is_flag else f"write {choice.name}={words[0]}",
            )
    return given


def _words(choice: Choice) -> list[str]:
    """Return the values of a choice as they are written."""
    return [str(value).lower() if isinstance(value, bool) else value for value in choice.values]


def _option(flag: str) -> str:
    return f"--{flag.replace('_', '-')}"


def _flag_as_assignment(statement: Statement, word: str, command: str) -> str:
    """Return ``only_open=true`` for ``--only-open``, and ``only_open=false`` for ``--no-only-open``."""
    flags = [choice.name for choice in statement.choices if choice.is_flag]
    for flag in flags:
        if word in (_option(flag), f"--{flag}"):
            return f"{flag}=true"
        if word == f"--no-{_option(flag)[2:]}":
            return f"{flag}=false"
    option = word.partition("=")[0]
    listed = ", ".join(_option(flag) for flag in flags)
    raise BindError(
        f"{statement.name}: {option} is neither an option of plainsql {command} nor a flag of the query",
        hint=f"the query's flags are {listed}" if flags else f"plainsql {command} --help lists the options",
    )


def expected(statement: Statement) -> str:
    """Return the parameters of a query as text, one line each."""
    lines: list[tuple[str, str]] = []
    for parameter in (*statement.parameters, *statement.setting_parameters):
        notes = []
        if (bounds := parameter.bounds) is not None:
            if bounds.low is not None or bounds.high is not None:
                low, high = ("" if end is None else end for end in (bounds.low, bounds.high))
                notes.append(f"{low}..{high}")
            if bounds.has_default:
                notes.append(f"{_shown(bounds.default)} by default")
        if parameter.optional:
            notes.append("optional")
        lines.append((f"{parameter.name}=…", ", ".join(notes)))
    for choice in statement.choices:
        note = f"{_shown(choice.default)} by default" if choice.default is not None else ""
        word = _option(choice.name) if choice.is_flag else f"{choice.name}={'|'.join(_words(choice))}"
        lines.append((word, note))
    width = max((len(word) for word, _ in lines), default=0)
    return "\n".join(f"  {word.ljust(width)}  {note}".rstrip() for word, note in lines)


def _check_names(statement: Statement, given: Mapping[str, Given], command: str, *, complete: bool) -> None:
    taken = (*statement.parameters, *statement.setting_parameters)
    known = [p.name for p in taken] + [c.name for c in statement.choices]
    required = [p.name for p in taken if not (p.optional or (p.bounds and p.bounds.has_default))]
    required += [c.name for c in statement.choices if c.default is None]
    unknown = [name for name in given if name not in known]
    missing = [name for name in required if name not in given] if complete else []
    if not unknown and not missing:
        return
    wrong = [f"missing {', '.join(missing)}"] if missing else []
    wrong += [f"unknown {', '.join(unknown)}"] if unknown else []
    meant = {name: close for name in unknown if (close := close_match(name, known, 0.6))}
    if len(meant) == 1:
        hint = f"did you mean {next(iter(meant.values()))}?"
    elif meant:
        hint = "did you mean " + ", ".join(f"{close} for {name}" for name, close in meant.items()) + "?"
    else:
        choices = {choice.name: _words(choice)[0] for choice in statement.choices}
        example = [statement.name, *(f"{name}={choices.get(name, '…')}" for name in required)]
        hint = f"plainsql {command} {' '.join(example)}"
    raise BindError(
        f"{statement.name}: {'; '.join(wrong)}",
        detail=f"it takes\n{expected(statement)}" if known else "it takes no parameters",
        hint=hint,
    )


def _check_bounds(statement: Statement, parameter: Parameter, given: Given) -> None:
    bounds = parameter.bounds
    if bounds is None or (bounds.low is None and bounds.high is None) or given.value is None:
        return
    low, high = ("" if end is None else end for end in (bounds.low, bounds.high))
    try:
        number = Decimal(given.text)
    except InvalidOperation:
        number = Decimal("NaN")
    if number.is_nan():
        raise BindError(f"{statement.name}: {parameter.name}: expected a number, {low}..{high}, got text")
    if (bounds.low is not None and number < bounds.low) or (bounds.high is not None and number > bounds.high):
        raise BindError(
            f"{statement.name}: {parameter.name}: the value is out of bounds, expected {low}..{high}",
            hint=f"see {bounds.place}" if bounds.place else None,
        )


def _read_json(name: str, text: str) -> Given:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise BindError(
                f"{name}: its file cannot be read: {reason}", hint=f"write {name}:=@FILE"
            ) from None
    try:
        return Given(text, True, _JSON.decode(text))
    except msgspec.DecodeError as error:
        # msgspec's message names the position and what it expected, never the value.
        raise BindError(f"{name}: not JSON: {error}", hint=f"write {name}=… for text") from None


def _shown(default: object) -> str:
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
