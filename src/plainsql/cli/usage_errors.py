"""The errors of a command line that does not fit, in the form of all other errors."""

from __future__ import annotations

import sys
from difflib import get_close_matches

import cyclopts
from cyclopts.exceptions import UnusedCliTokensError
from cyclopts.panel import CycloptsPanel

from plainsql.cli.number_range import NumberRange

__all__ = ["print_usage_error"]

_NUMBERS = {int: "an integer", float: "a number"}


def print_usage_error(error: cyclopts.CycloptsError) -> None:
    """Print an error of cyclopts: those of numbers and of words without an option as plainsql's own."""
    text = _text(error)
    if text is not None:
        print(text, file=sys.stderr)
    elif error.console is not None:
        error.console.print(CycloptsPanel(error))
    else:
        print(error, file=sys.stderr)


def _text(error: cyclopts.CycloptsError) -> str | None:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return _unused(error, error.unused_tokens[0])
    if (
        isinstance(error, cyclopts.CoercionError)
        and error.token is not None
        and error.target_type in _NUMBERS
    ):
        return _number(error, error.token.value, _NUMBERS[error.target_type])
    if isinstance(error, cyclopts.ValidationError) and error.argument is not None and _range(error):
        return _number(error, error.argument.tokens[-1].value, "a number")
    return None


def _number(error: cyclopts.CycloptsError, got: str, noun: str) -> str:
    accepted = _range(error)
    tokens = error.argument.tokens if error.argument is not None else []
    name = (tokens[-1].keyword if tokens else None) or (error.argument.name if error.argument else "")
    expected = accepted.expected if accepted is not None else noun
    hint = f"\nHINT: for example: {name} {accepted.example}" if accepted is not None else ""
    return f"{name}: expected {expected}, got {got}{hint}"


def _range(error: cyclopts.CycloptsError) -> NumberRange | None:
    if error.argument is None:
        return None
    given = error.argument.parameter.validator
    validators = given if isinstance(given, tuple) else (given,)
    return next((each for each in validators if isinstance(each, NumberRange)), None)


def _unused(error: cyclopts.CycloptsError, word: str) -> str:
    """Return the error of a word that is no command of a group, or that a command does not take."""
    command = " ".join(error.command_chain or ()) or "plainsql"
    names = [name for name in error.app or () if not name.startswith("-")]
    if not names:
        return f"{command}: unexpected argument {word!r}\nHINT: plainsql {command} --help lists its arguments"
    meant = get_close_matches(word, names, 1)
    hint = f"did you mean {meant[0]}?" if meant else f"its commands are {', '.join(names)}"
    return f'{command} has no command "{word}"\nHINT: {hint}'
