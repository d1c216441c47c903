"""The types that the database and the settings of a project add to the built-in ones: enums and codecs."""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.analysis.model import PgType
from plainsql.codegen.codec_types import CodecTypes
from plainsql.codegen.enums import EnumTypes
from plainsql.codegen.python_types import Annotation

__all__ = ["NO_PROJECT_TYPES", "ProjectTypes"]


@dataclass(frozen=True)
class ProjectTypes:
    """The enums and the types with codecs of one package."""

    enums: EnumTypes
    codecs: CodecTypes

    def annotation(self, type: PgType) -> Annotation | None:
        """Return the annotation of an enum, or of a type with a codec; ``None`` for any other type."""
        return self.codecs.annotation(type) or self.enums.annotation(type)


NO_PROJECT_TYPES = ProjectTypes(EnumTypes("", ()), CodecTypes({}, None))
