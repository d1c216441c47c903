"""A compiled statement: its parameters, and every text that it can become.

:mod:`plainsql.statements.optional_lines` has the rules of conditional lines. Each optional line doubles the
number of texts, each choice multiplies it by its values. :data:`MAX_VARIANTS` limits it, because
``plainsql check`` prepares and types each text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import compress, product
from typing import Final, TypeGuard

from plainsql.errors import BindError, Place
from plainsql.statements.optional_lines import FLAG_VALUES, Block, always_given
from plainsql.statements.placeholders import Placeholder
from plainsql.statements.source import Source

__all__ = ["MAX_VARIANTS", "Compiled", "Variant", "is_value"]

MAX_VARIANTS: Final = 1024
_MANY: Final = 10**18
"""More texts than this are not counted: Python refuses to write numbers of thousands of digits."""
_BLANKS: Final = " \t\n\r\f\v"


class Compiled:
    """A parsed statement. Made by :func:`plainsql.statements.compile_body`; immutable."""

    __slots__ = (
        "_blocks",
        "_variants",
        "choices",
        "end",
        "marks",
        "name",
        "offsets",
        "optional",
        "parameters",
        "source",
    )

    name: str
    source: Source
    """The body with its path and line."""
    end: int
    """The offset in the body at which the statement ends, before a closing semicolon."""
    parameters: tuple[str, ...]
    """Every name once, in the order of the first places in the text."""
    optional: frozenset[str]
    """The names that some variant does not have."""
    choices: Mapping[str, tuple[str | bool, ...]]
    """The choices and their values, in the order of the text. A flag has the values ``(False, True)``."""
    offsets: Mapping[str, tuple[int, ...]]
    """The offsets in the body of each parameter's colons."""
    marks: Mapping[str, int]
    """The offset in the body of each choice's first ``--?``."""

    def __init__(
        self, source: Source, name: str, placeholders: list[Placeholder], blocks: list[Block], end: int
    ) -> None:
        self.source = source
        self.name = name
        self.end = end
        self._blocks = blocks
        self._variants: tuple[Variant, ...] | None = None
        offsets: dict[str, list[int]] = {}
        for start, _, parameter in placeholders:
            offsets.setdefault(parameter, []).append(start)
        self.offsets = {parameter: tuple(starts) for parameter, starts in offsets.items()}
        self.parameters = tuple(offsets)
        choices: dict[str, dict[str | bool, None]] = {}
        marks: dict[str, int] = {}
        for block in blocks:
            if block.choice:
                values = choices.setdefault(block.choice[0], {})
                values.update(dict.fromkeys(FLAG_VALUES if block.is_of_flag else block.choice[1:]))
                marks.setdefault(block.choice[0], block.mark)
        self.marks = marks
        self.choices = {choice: tuple(values) for choice, values in choices.items()}
        self.optional = frozenset(offsets) - always_given(blocks) if len(blocks) > 1 else frozenset()
        count = 2 ** len(self._groups())
        for each in self.choices.values():
            count *= len(each)
        if count > MAX_VARIANTS:
            texts = f"{count}" if count < _MANY else f"more than {_MANY}"
            raise source.error(
                next(block.mark for block in blocks if block.mark >= 0),
                f"{texts} texts result from the marked lines, expected {MAX_VARIANTS} at most",
                hint="split the query, or make lines unconditional: (:name is null or column = :name)",
            )

    @property
    def body(self) -> str:
        """The text that was read."""
        return self.source.text

    def variant(self, given: Iterable[str] = (), choices: Mapping[str, str | bool] | None = None) -> Variant:
        """Return the text to send for these optional parameters and choices.

        Args:
            given: names; parameters that are always given may be among them and make no difference.
            choices: a value for every choice; a flag is off without one.

        Raises:
            BindError: a choice is missing or unknown, or does not have the value. Or a parameter is given
            that would
                not be sent, because another parameter of its line is not given or its line is not chosen. Or
                a parameter of a chosen line is missing.
        """
        choices = self._check_choices(choices or {})
        given = self.optional.intersection(given)
        blocks = self._kept(given, choices)
        used = self.optional & {name for block in blocks for name in block.names}
        if used != given:
            self._refuse(given, choices, used)
        return Variant(self, blocks, given, choices)

    def variants(self) -> tuple[Variant, ...]:
        """Return every text of this statement, the one with the fewest lines first."""
        if self._variants is None:
            self._variants = self._make_variants()
        return self._variants

    def _make_variants(self) -> tuple[Variant, ...]:
        found: dict[tuple[frozenset[str], tuple[str | bool, ...]], Variant] = {}
        groups = self._groups()
        for values in product(*self.choices.values()):
            choices = dict(zip(self.choices, values, strict=True))
            chosen: set[str] = set()
            for block in self._blocks:
                if block.choice and choices[block.choice[0]] == block.choice[1]:
                    chosen |= block.names & self.optional
            for included in product((False, True), repeat=len(groups)):
                given = frozenset(chosen.union(*compress(groups, included)))
                if (given, values) not in found:
                    found[given, values] = self.variant(given, choices)
        return tuple(found.values())

    def optional_spans(self) -> list[tuple[int, int]]:
        """The beginning and end in the body of each line of a parameter or a flag."""
        return [(block.start, block.end) for block in self._blocks if block.needs or block.is_of_flag]

    def optional_lines(self, variant: Variant) -> frozenset[int]:
        """Return the beginnings of the lines of parameters and flags that a variant has."""
        return frozenset(
            block.start
            for block in self._kept(variant.given, variant.choices)
            if block.needs or block.is_of_flag
        )

    def _groups(self) -> list[frozenset[str]]:
        """The sets of parameters that the optional lines need, each set once."""
        return list(dict.fromkeys(block.needs for block in self._blocks if block.needs))

    def _kept(self, given: frozenset[str], choices: Mapping[str, str | bool]) -> list[Block]:
        return [
            block
            for block in self._blocks
            if (choices[block.choice[0]] == block.choice[1] if block.choice else block.needs <= given)
        ]

    def _check_choices(self, choices: Mapping[str, str | bool]) -> Mapping[str, str | bool]:
        for name, values in self.choices.items():
            if name not in choices:
                if values == FLAG_VALUES:
                    continue
                raise self._bind_error(
                    f"the choice {name} is not made", f"pass {name}, {_either(values)}", name
                )
            # The value is not shown: it came from a caller.
            if not is_value(choices[name], values):
                raise self._bind_error(
                    f"the choice {name} has no such value", f"pass {_either(values)}", name
                )
        for name in choices:
            if name not in self.choices:
                known = f"its choices are {', '.join(self.choices)}" if self.choices else "it has no choices"
                raise self._bind_error(f"there is no choice {name}", known)
        return {name: choices.get(name, False) for name in self.choices}

    def _refuse(self, given: frozenset[str], choices: Mapping[str, str | bool], used: frozenset[str]) -> None:
        """Raise for the parameter that is missing or must not be given."""
        chosen = ", ".join(f"{name}={value}" for name, value in choices.items() if isinstance(value, str))
        for name in self.parameters:
            if name in used - given:
                raise self._bind_error(f"{name} is missing, {chosen} needs it", f"pass {name}", name)
            if name in given - used:
                lines = [block.needs for block in self._blocks if name in block.needs]
                if lines:
                    others = ", ".join(p for p in self.parameters if p in min(lines, key=len) - given)
                    raise self._bind_error(
                        f"{name} is given without {others}, its line needs both",
                        f"pass {others} too, or leave {name} out",
                        name,
                    )
                raise self._bind_error(
                    f"{name} is given, but no line of {chosen} uses it", f"leave {name} out", name
                )

    def _bind_error(self, message: str, hint: str, name: str = "") -> BindError:
        offset = self.marks.get(name, self.offsets.get(name, (0,))[0])
        return BindError(f"{self.name}: {message}", place=self.source.place(offset), hint=hint)

    def __repr__(self) -> str:
        return f"<Compiled {self.name}: {', '.join(self.parameters) or 'no parameters'}>"


def is_value(value: object, values: tuple[str | bool, ...]) -> TypeGuard[str | bool]:
    """Report whether a value is one of a choice's: 1 is not ``True``."""
    return any(isinstance(value, type(each)) and value == each for each in values)


def _either(values: tuple[str | bool, ...]) -> str:
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"


class Variant:
    """A text to send, and the way back from it to the file."""

    __slots__ = ("_compiled", "_origins", "_outputs", "choices", "given", "parameters", "sql")

    sql: str
    """The text with ``$1``, ``$2`` … in the order of the names, and the statement's name in a comment."""
    parameters: tuple[str, ...]
    """The names in the order of ``$n``: ``parameters[0]`` is ``$1``."""
    given: frozenset[str]
    """The optional parameters that are in it."""
    choices: Mapping[str, str | bool]
    """The value of every choice."""

    def __init__(
        self,
        compiled: Compiled,
        blocks: list[Block],
        given: frozenset[str],
        choices: Mapping[str, str | bool],
    ) -> None:
        self._compiled = compiled
        self.given = given
        self.choices = choices
        text = compiled.body
        numbers: dict[str, str] = {}
        parts: list[str] = []
        # The beginning of each part in the text that is sent, and in the body.
        self._outputs: list[int] = []
        self._origins: list[int] = []
        size = 0

        def add(part: str, origin: int) -> None:
            nonlocal size
            parts.append(part)
            self._outputs.append(size)
            self._origins.append(origin)
            size += len(part)

        tail: str | None = None
        for block in blocks:
            position = block.start
            for start, end, name in block.placeholders:
                if position < start:
                    add(text[position:start], position)
                add(numbers.setdefault(name, f"${len(numbers) + 1}"), start)
                position = end
            if position < block.end:
                add(text[position : block.end], position)
            tail = block.tail or tail
        sql = "".join(parts).rstrip(_BLANKS)
        if compiled.name:
            sql += f"{chr(10) if tail == 'line_comment' else ' '}/* {compiled.name} */"
        self.sql = sql
        self.parameters = tuple(numbers)

    def place(self, position: int) -> Place:
        """Return the place in the file of a character of ``sql``.

        ``position`` is 1-based and in characters, as in an error of PostgreSQL. Any character of a ``$n`` is
        at its ``:name``; text behind the statement is at the statement's last character.
        """
        source = self._compiled.source
        index = max(bisect_right(self._outputs, position - 1) - 1, 0)
        output, origin = self._outputs[index], self._origins[index]
        if source.text[origin] == ":" and self.sql[output] == "$":
            return source.place(origin)
        # Clamped to the part's own text: the file does not have the text that was sent behind it.
        end = self._origins[-1] + len(source.text[self._origins[-1] : self._compiled.end].rstrip(_BLANKS))
        return source.place(max(min(origin + position - 1 - output, end - 1), 0))

    def substituted(self, expressions: Mapping[str, str]) -> str:
        """Return the text to send with another expression in the place of each parameter, by its name.

        The expressions come from code, never from a caller's values.
        """
        text = self._compiled.source.text
        ends = [*self._outputs[1:], len(self.sql)]
        parts = []
        for start, end, origin in zip(self._outputs, ends, self._origins, strict=True):
            part = self.sql[start:end]
            if text[origin] == ":" and part[:1] == "$":
                # The statement's name, which ends the text, follows the last one.
                number, blank, name = part[1:].partition(" ")
                part = expressions[self.parameters[int(number) - 1]] + blank + name
            parts.append(part)
        return "".join(parts)

    def __repr__(self) -> str:
        return f"<Variant of {self._compiled.name}: {', '.join(self.parameters) or 'no parameters'}>"
