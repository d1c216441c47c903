"""The files of a layer as a project gets them: its migrations and queries, with the settings of the project.

A setting changes given texts of given files. Each of them must be there, so that a layer that has changed is
no silently wrong copy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from plainsql.errors import SettingsError
from plainsql.layer_folders import packaged_folder, packaged_layers
from plainsql.layers.layer_edits import Edit, apply_edits
from plainsql.layers.personal_data import ENCRYPTING_EDITS, PERSONAL_DATA

__all__ = ["CopiedLayer", "LayerSetting", "copied_layer", "layer_settings"]


class LayerSetting(NamedTuple):
    """A setting of a layer that a project may choose."""

    name: str
    expected: str
    default: str
    fits: Callable[[str], bool]
    hint: str


@dataclass(frozen=True, slots=True)
class CopiedLayer:
    """A layer's files, with the settings that were chosen."""

    layer: str
    migrations: Mapping[Path, str]
    """By path below the layer's own folder."""
    sql: Mapping[Path, str]
    settings: Mapping[str, str]
    """All settings of the layer, also those that have their default."""


# -- Realty -------------------------------------------------------------------------------------------------

_VECTOR_INDEX_DIMENSIONS: Final = 2000
"""The most dimensions that an index on ``vector`` takes; on ``halfvec`` it takes twice as many."""
_LANGUAGES: Final = (
    *("arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german"),
    *("greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian"),
    *("portuguese", "romanian", "russian", "serbian", "simple", "spanish", "swedish", "tamil", "turkish"),
    "yiddish",
)
"""The text search configurations of every PostgreSQL that plainsql supports."""

_SPANISH_REASON: Final = """\
-- People write "habitacion" and "bano" in a chat. The Spanish stemmer folds "balcón" and "balcon"
-- together, but knows the endings in -ción only with their accent and keeps the ñ. Unaccented words
-- alone would part "habitación" (habitacion) from "habitaciones" (habit). So a text is found under
-- both, and a question is read with plain 'spanish'.
"""
_REASON: Final = """\
-- People leave out accents in a chat, and the stemmer knows some endings only with theirs. So a text
-- is found under both, and a question is read with plain '{language}'.
"""


def _is_dimension(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,3}", text) is not None and int(text) <= 2 * _VECTOR_INDEX_DIMENSIONS


_REALTY: Final = (
    LayerSetting(
        "dimension",
        f"a whole number from 1 to {2 * _VECTOR_INDEX_DIMENSIONS}",
        "1536",
        _is_dimension,
        "give the dimension of your model's embeddings; above "
        f"{_VECTOR_INDEX_DIMENSIONS} they are stored as halfvec",
    ),
    LayerSetting(
        "language",
        "a text search configuration of PostgreSQL",
        "spanish",
        lambda text: text in _LANGUAGES,
        f"choose one of {', '.join(_LANGUAGES)}",
    ),
)


def _realty_edits(values: Mapping[str, str]) -> Sequence[Edit]:
    dimension, language = int(values["dimension"]), values["language"]
    kind = "vector" if dimension <= _VECTOR_INDEX_DIMENSIONS else "halfvec"
    # A third more than the numbers themselves, for the links of the graph and the room left in pages.
    kilobytes = math.ceil(dimension * (4 if kind == "vector" else 2) * 1.3 / 1000)
    stemmer = language if language == "simple" else f"{language}_stem"
    schema = "migrations/realty/0002_schema.sql"
    edits = [
        Edit("migrations/realty/000[45]_*s.sql", "embedding vector(1536)", f"embedding {kind}({dimension})"),
        Edit("migrations/realty/0008_search_indexes.sql", "vector_cosine_ops", f"{kind}_cosine_ops"),
        Edit("migrations/realty/0008_search_indexes.sql", "of 1,536 dim", f"of {dimension:,} dim"),
        Edit("migrations/realty/0008_search_indexes.sql", "(about 8 kB", f"(about {kilobytes} kB"),
        Edit("sql/realty/*/set_embedding.sql", "It has 1,536 numbers", f"It has {dimension:,} numbers"),
        Edit(schema, "turns Spanish text into words", f"turns {_adjective(language)}text into words"),
        Edit(schema, "of a Spanish text", f"of {_article(language)}{_adjective(language)}text"),
        Edit(schema, "pg_catalog.spanish", f"pg_catalog.{language}"),
        Edit(schema, "unaccent, spanish_stem", f"unaccent, {stemmer}"),
        Edit("migrations/realty/000[245]_*.sql", "realty.spanish_words(", f"realty.{language}_words("),
        Edit(
            "sql/realty/*/search_hybrid.sql",
            "websearch_to_tsquery('spanish'",
            f"websearch_to_tsquery('{language}'",
        ),
    ]
    if language != "spanish":  # the reason has examples of that language
        edits.insert(0, Edit(schema, _SPANISH_REASON, _REASON.format(language=language)))
    return edits


def _adjective(language: str) -> str:
    return "" if language == "simple" else f"{language.capitalize()} "


def _article(language: str) -> str:
    return "an " if language != "simple" and language[0] in "aeiou" else "a "


_PERSONAL_DATA: Final = LayerSetting(
    "personal_data",
    " or ".join(PERSONAL_DATA),
    PERSONAL_DATA[0],
    lambda text: text in PERSONAL_DATA,
    "write encrypted for telephone numbers and e-mail addresses that only the keys can read",
)

_SETTINGS: Final[Mapping[str, Sequence[LayerSetting]]] = {
    "marketplace": (_PERSONAL_DATA,),
    "realty": (*_REALTY, _PERSONAL_DATA),
    "whatsapp": (_PERSONAL_DATA,),
}
_EDITS: Final[Mapping[str, Callable[[Mapping[str, str]], Sequence[Edit]]]] = {"realty": _realty_edits}


# -- Copies ----------------------------------------------------------------------------------------------


def layer_settings(layer: str) -> Sequence[LayerSetting]:
    """Return the settings of a layer that comes with plainsql."""
    return _SETTINGS.get(layer, ())


def copied_layer(layer: str, given: Mapping[str, str]) -> CopiedLayer:
    """Return the files of a layer that comes with plainsql, with the given settings.

    Raises ``SettingsError`` if there is no such layer or setting, or if a value does not fit.
    """
    if layer not in packaged_layers():
        packaged_folder("migrations", layer)  # raises
    known = {setting.name: setting for setting in layer_settings(layer)}
    for name, value in given.items():
        if name not in known:
            raise SettingsError(
                f"--set {name}: {layer} has no such setting",
                hint=f"its settings are {', '.join(known)}" if known else f"copy {layer} without --set",
            )
        if not known[name].fits(value):
            raise SettingsError(
                f"--set {name}: expected {known[name].expected}, got {value[:40]!r}", hint=known[name].hint
            )
    settings = {name: setting.default for name, setting in known.items()} | {**given}
    texts = {
        Path(kind, layer, path.relative_to(folder)): path.read_text(encoding="utf-8")
        for kind in ("migrations", "sql")
        for folder in (packaged_folder(kind, layer),)
        for path in sorted(folder.rglob("*.sql"))
    }
    apply_edits(_EDITS[layer](settings) if layer in _EDITS else (), texts)
    if settings.get(_PERSONAL_DATA.name) == "encrypted":
        apply_edits(ENCRYPTING_EDITS[layer], texts)
    own: dict[str, dict[Path, str]] = {"migrations": {}, "sql": {}}
    for path, text in texts.items():
        own[path.parts[0]][Path(*path.parts[2:])] = text
    return CopiedLayer(layer, own["migrations"], own["sql"], settings)
