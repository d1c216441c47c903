"""The texts of one query: one statement for each combination of its optional lines and choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from plainsql.encoding import NumberArray
from plainsql.errors import BindError, PlainsqlError
from plainsql.query.setting_values import SetTo, setting_text
from plainsql.query.signature import encode_error_detail
from plainsql.statements import compile_body, is_value
from plainsql.types import UNSET, Args

if TYPE_CHECKING:
    from plainsql.statements import Compiled, Variant

__all__ = ["QueryText", "QueryTexts"]

_MAX_SET: Final = 256
"""The most texts that are kept with the values of their settings: a parameter may have any number of them."""


class QueryText(NamedTuple):
    """The statement to send for one combination of optional lines and choices."""

    sql: str
    positions: tuple[int, ...] | None
    """The positions of the arguments that it takes, in order; None: all of them as they come."""
    variant: Variant
    """The same object for all texts that differ by their settings alone."""
    settings: SetTo = ()
    """The settings that the statement runs with, and no other statement."""


class QueryTexts:
    """The body of a SQL file, compiled when it is first needed."""

    def __init__(
        self,
        name: str,
        path: str,
        line: int,
        body: str,
        settings: Mapping[str, str] | None = None,
        setting_parameters: Mapping[str, str] | None = None,
    ) -> None:
        """``settings`` has the values of settings, ``setting_parameters`` the parameters that hold them."""
        self.name = name
        self.path = path
        self.line = line
        self.body = body
        self._compiled: Compiled | None = None
        self._only: QueryText | None = None
        """The text, if there is just one."""
        self._texts: dict[Args, QueryText] = {}
        self._varying: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((), (), ())
        """The positions of the optional arguments, of the choices, and of the flags among them."""
        self._constant: SetTo = tuple((settings or {}).items())
        self._setting_parameters = tuple((setting_parameters or {}).items())
        self._setting_places: tuple[int, ...] = ()
        """The position of the argument of each of these settings."""
        self._set: dict[tuple[int, SetTo], QueryText] = {}
        """The texts with their settings, by the identity of the variant, which ``_texts`` keeps alive."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters in the order of the SQL, then the choices, then those that only settings take."""
        compiled = self._compile()
        names = (*compiled.parameters, *compiled.choices)
        if not self._setting_parameters:
            return names
        return tuple(dict.fromkeys((*names, *(name for _, name in self._setting_parameters))))

    def select(self, args: Args) -> tuple[QueryText, Args]:
        """Return the text to send for these arguments, and the arguments that it takes, in order.

        Raises ``BindError`` if a choice is none of its values.
        """
        if (text := self._only) is not None:
            return text, args
        compiled = self._compile()
        if (text := self._only) is not None:
            return text, args
        optional, choices, flags = self._varying
        key = (*(args[i] is not UNSET for i in optional), *(args[i] for i in choices))
        if flags:  # 1 has the hash of True, and is refused
            key += tuple(type(args[i]) for i in flags)
        try:
            text = self._texts.get(key)
        except TypeError:  # a choice that is a list or the like: refused below
            text = None
        if text is None:
            text = self._text_of_variant(compiled, args)
            self._texts[key] = text
        values = tuple(args[i] for i in text.positions or ())
        return (self._with_settings(text, args) if self._setting_places else text), values

    def error_note(
        self, text: QueryText, position: str | None, *, sqlstate: str | None = None, message: str = ""
    ) -> str:
        """Return the note for an error of the server: the query and its place.

        ``position`` is the server's: 1-based, in characters of the text that was sent; None if it gave none.
        If ``message`` names ``$1``, the note names the parameter.
        """
        at = int(position) if position and position.isdecimal() else None
        if "$" in message:
            # Errors alone need it.
            from plainsql.statements.server_errors import refusal

            named = refusal(text.variant, message, sqlstate=sqlstate, position=at)
            if named.message != message:
                error = PlainsqlError(named.message, place=named.place, hint=named.hint)
                return f"query: {self.name}\n{error}"
        if at is not None:
            place = text.variant.place(at)
            caret = place.caret()
            return f"query: {self.name}\n{place}" + (f"\n{caret}" if caret else "")
        return f"query: {self.name} ({self.path})"

    def encode_error(
        self,
        text: QueryText,
        index: int,
        expected: str,
        value: object,
        cause: BaseException | None = None,
        *,
        detail: str | None = None,
    ) -> BindError:
        """Return the error of the argument at ``index`` that is no value of the type ``expected``.

        It does not hold the value.
        """
        if detail is None:
            detail = encode_error_detail(expected, value, cause)
        name = text.variant.parameters[index]
        if isinstance(value, NumberArray):
            value = value.given
        return BindError(
            f"{self.name}: {name}: expected {expected}, got {type(value).__name__}",
            detail=detail,
            hint=f"see {self.path}",
        )

    @property
    def compiled(self) -> Compiled:
        """The compiled body."""
        return self._compile()

    def _compile(self) -> Compiled:
        if self._compiled is None:
            compiled = compile_body(self.body, name=self.name, path=self.path, line=self.line)
            names = compiled.parameters
            choices = tuple(range(len(names), len(names) + len(compiled.choices)))
            optional = tuple(i for i, name in enumerate(names) if name in compiled.optional)
            flags = tuple(
                i for i, values in zip(choices, compiled.choices.values(), strict=True) if True in values
            )
            self._varying = (optional, choices, flags)
            if not optional and not choices and not self._setting_parameters:
                variant = compiled.variant()
                self._only = QueryText(variant.sql, None, variant, self._constant)
            self._compiled = compiled
            listed = self.parameters
            self._setting_places = tuple(listed.index(name) for _, name in self._setting_parameters)
        return self._compiled

    def _with_settings(self, text: QueryText, args: Args) -> QueryText:
        """Return a text with the settings of a call. A parameter that is null leaves its setting alone."""
        settings = self._constant
        for (setting, name), place in zip(self._setting_parameters, self._setting_places, strict=True):
            if (value := args[place]) is not None and value is not UNSET:
                settings += ((setting, setting_text(self.name, name, value)),)
        found = self._set.get((id(text.variant), settings))
        if found is None:
            if len(self._set) >= _MAX_SET:
                self._set.clear()
            found = self._set[id(text.variant), settings] = text._replace(settings=settings)
        return found

    def _text_of_variant(self, compiled: Compiled, args: Args) -> QueryText:
        names = compiled.parameters
        given = {name for name, value in zip(names, args, strict=False) if value is not UNSET}
        chosen: dict[str, str | bool] = {}
        for (name, values), value in zip(compiled.choices.items(), args[len(names) :], strict=False):
            if not is_value(value, values):
                raise BindError(f"{self.name}: {name}: expected one of {', '.join(map(str, values))}")
            chosen[name] = value
        variant = compiled.variant(given, chosen)
        positions = tuple(names.index(name) for name in variant.parameters)
        return QueryText(variant.sql, positions, variant, self._constant)
