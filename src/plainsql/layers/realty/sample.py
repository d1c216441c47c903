"""Sample data for the realty layer: a small agency in Lima, the same on every machine.

``tables`` returns rows that ``COPY`` accepts as they are. Districts, streets and parks are real; projects,
homes, people and their messages are invented. Embeddings come from ``plainsql.vector.hashing``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from plainsql.layers.realty import sample_texts as texts
from plainsql.layers.realty.sample_texts import District, Plan
from plainsql.vector.hashing import embed

__all__ = ["Table", "tables"]

_HOMES_PER_PROJECT: Final = 40
_DAYS_BACK: Final = 180
_COLUMNS: Final[Mapping[str, str]] = {
    "leads": "id name email phone telegram_chat_id created_at updated_at",
    "projects": """
        id name description district address reference details video_url brochure_url includes_parking
        has_showroom embedding created_at updated_at
    """,
    "typologies": "id name description type num_bedrooms num_bathrooms area_m2 created_at updated_at",
    "properties": """
        id project_id typology_id title type description pricing view_type floor_no embedding
        created_at updated_at
    """,
    "conversations": """
        id lead_id most_recent_project_id last_message_at is_answered_by_lead created_at updated_at
    """,
    "messages": "id conversation_id type content created_at",
    "appointments": """
        id lead_id conversation_id project_id property_id scheduled_for notes cancelled_at created_at
    """,
}


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one table."""

    schema: str
    name: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]] = field(repr=False)
    """Values in the order of ``columns``: ``str``, ``int``, ``bool``, ``uuid.UUID``, aware ``datetime``,
    ``None``, and embeddings as ``list[float]`` of 1,536 numbers and norm 1."""


def tables(*, now: datetime, properties: int = 3000, leads: int = 400, seed: int = 1536) -> tuple[Table, ...]:
    """Return the sample data, each table after those it refers to.

    The same arguments give the same rows.

    Args:
        now: aware. Past events are in the 180 days before it, booked visits in the two weeks after it.
        properties: at least 1, 40 in a project.
        leads: at least 0, each with one or two conversations of two to ten messages.
        seed: another seed gives other data of the same kind.

    Raises ``ValueError`` if ``now`` has no time zone, or if a number is too small.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone")
    if properties < 1 or leads < 0:
        raise ValueError("expected at least 1 property and 0 leads")
    agency = _Agency(now, seed)
    agency.build(properties)
    agency.serve(leads)
    return tuple(
        Table("realty", name, tuple(columns.split()), agency.rows[name]) for name, columns in _COLUMNS.items()
    )


@dataclass(frozen=True, slots=True)
class _Project:
    id: UUID
    name: str
    district: District
    park: str
    landmark: str
    floors: int
    parking: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Home:
    id: UUID
    project: _Project
    plan: Plan
    title: str
    view: str
    pricing: int


class _Agency:
    """The agency's rows: projects and homes first, then the leads who talk about them."""

    def __init__(self, now: datetime, seed: int) -> None:
        self.now = now
        self.random = Random(seed)
        self.rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in _COLUMNS}
        self.homes: list[_Home] = []

    def build(self, properties: int) -> None:
        began = self.now - timedelta(days=_DAYS_BACK)
        plan_ids = {plan.name: self._id() for plan in texts.PLANS}
        for plan in texts.PLANS:
            area = str(plan.area_m2)
            self.rows["typologies"].append(
                (
                    plan_ids[plan.name],
                    plan.name,
                    plan.description,
                    plan.kind,
                    plan.bedrooms,
                    plan.bathrooms,
                    area,
                    began,
                    began,
                )
            )
        names = [f"{kind} {name}" for name in texts.PROJECT_NAMES for kind in texts.PROJECT_KINDS]
        self.random.shuffle(names)
        for number, first in enumerate(range(0, properties, _HOMES_PER_PROJECT)):
            phase = number // len(names)
            project = self._project(names[number % len(names)] + (f" {phase + 1}" if phase else ""))
            # A building has few floor plans and many homes of each.
            plans = self.random.sample(texts.PLANS, 5)
            for _ in range(min(_HOMES_PER_PROJECT, properties - first)):
                plan = self.random.choice(plans)
                self._home(project, plan, plan_ids[plan.name])

    def serve(self, leads: int) -> None:
        for number in range(leads):
            name = f"{self.random.choice(texts.FIRST_NAMES)} {self.random.choice(texts.LAST_NAMES)}"
            phone = f"+519{self.random.randrange(10**8):08d}" if self.random.random() < 0.7 else None
            email = f"cliente{number}@example.com" if self.random.random() < 0.4 else None
            lead_id, came_at = self._id(), self._moment()
            chat = str(700_000_000 + number * 1_009)
            self.rows["leads"].append((lead_id, name, email, phone, chat, came_at, came_at))
            self._conversation(lead_id, name, came_at)
            if self.random.random() < 0.3:
                self._conversation(lead_id, name, came_at + (self.now - came_at) * 0.5)

    def _project(self, name: str) -> _Project:
        random = self.random
        district = self.random.choice(texts.DISTRICTS)
        project = _Project(
            self._id(),
            name,
            district,
            self.random.choice(district.parks),
            self.random.choice(district.landmarks),
            random.randint(5, 22),
            random.random() < 0.75,
            self._moment(),
        )
        amenities = random.sample(texts.AMENITIES, 4)
        description = (
            f"{name} es un proyecto de {project.floors} pisos en {district.name}, frente al {project.park}"
            f" y cerca de {project.landmark}. Cuenta con {', '.join(amenities[:-1])} y {amenities[-1]}."
            + (" Cocheras y depósitos disponibles." if project.parking else "")
        )
        description = _contracted(description)
        address = f"{self.random.choice(district.streets)} {random.randrange(100, 2900)}"
        reference = _contracted(f"A {random.randint(2, 9)} minutos a pie de {project.landmark}")
        details = f"{project.floors} pisos, {random.randint(2, 4)} ascensores, {random.randint(2, 4)} sótanos"
        slug = name.lower().replace(" ", "-")
        embedding = embed(f"{name}. {district.name}. {description}. {details}. {address}. {reference}")
        self.rows["projects"].append(
            (
                project.id,
                name,
                description,
                district.name,
                address,
                reference,
                details,
                f"https://example.com/video/{slug}",
                f"https://example.com/brochure/{slug}.pdf",
                project.parking,
                random.random() < 0.4,
                embedding,
                project.created_at,
                project.created_at,
            )
        )
        return project

    def _home(self, project: _Project, plan: Plan, typology_id: UUID) -> None:
        random = self.random
        seen = [view for view in texts.VIEWS if project.district.by_the_sea or not view.by_the_sea]
        view = self.random.choice(seen)
        area = plan.area_m2 + random.randint(-3, 6)
        floor = project.floors if plan.kind == "penthouse" else random.randint(1, project.floors)
        worth = area * project.district.dollars_per_m2 * (1 + floor / 100) * random.uniform(0.92, 1.12)
        pricing = round(worth * (1.18 if view.kind == "mar" else 1.0), -2)
        words = {
            "type": plan.property_type,
            "Type": plan.property_type.capitalize(),
            "rooms": _rooms(plan.bedrooms),
            "view": view.phrase.format(park=project.park),
            "district": project.district.name,
            "landmark": project.landmark,
            "area": str(area),
        }
        sentences = [
            self.random.choice(texts.OPENINGS).format_map(words),
            self.random.choice(texts.LIVING_ROOMS),
            self.random.choice(texts.KITCHENS),
            f"{_bathrooms(plan.bathrooms)}.",
            *random.sample(texts.EXTRAS, random.randint(1, 3)),
            self.random.choice(texts.PARKING) if project.parking and random.random() < 0.7 else "",
            self.random.choice(texts.CLOSINGS),
        ]
        description = _contracted(" ".join(sentence for sentence in sentences if sentence))
        title = f"{words['Type']} de {words['rooms']} en {project.district.name}, piso {floor}"
        home = _Home(self._id(), project, plan, title, words["view"], int(pricing))
        self.homes.append(home)
        # The same text as that of properties/list_without_embedding.sql for this home.
        text = (title, plan.property_type, description, view.kind, project.name, project.district.name)
        created_at = project.created_at + (self.now - project.created_at) * random.random()
        self.rows["properties"].append(
            (
                home.id,
                project.id,
                typology_id,
                title,
                plan.property_type,
                description,
                home.pricing,
                view.kind,
                str(floor),
                embed(". ".join(text)),
                created_at,
                created_at,
            )
        )

    def _conversation(self, lead_id: UUID, name: str, began: datetime) -> None:
        random = self.random
        conversation_id, home = self._id(), self.random.choice(self.homes)
        words = {
            "name": name.split(maxsplit=1)[0],
            "type": home.plan.property_type,
            "rooms": _rooms(home.plan.bedrooms),
            "view": home.view,
            "district": home.project.district.name,
            "project": home.project.name,
            "landmark": home.project.landmark,
            "title": home.title,
            "area": str(home.plan.area_m2),
            "price": f"{home.pricing:,}".replace(",", " "),
        }
        said = [self.random.choice(texts.QUESTIONS), self.random.choice(texts.ANSWERS)]
        for question, answer in random.sample(texts.FOLLOW_UPS, random.randint(0, 4)):
            said += [question, answer]
        if random.random() < 0.25:
            said.append("Gracias, lo converso con mi familia y te aviso")
        at = began
        for number, template in enumerate(said):
            at = min(at + timedelta(seconds=random.randint(5, 900)), self.now)
            speaker = "ai-assistant" if number % 2 else "human"
            content = _contracted(template.format_map(words))
            self.rows["messages"].append((self._id(), conversation_id, speaker, content, at))
        self.rows["conversations"].append(
            (conversation_id, lead_id, home.project.id, at, len(said) % 2 == 1, began, at)
        )
        if random.random() < 0.35:
            self._appointment(lead_id, conversation_id, home, at)

    def _appointment(self, lead_id: UUID, conversation_id: UUID, home: _Home, booked_at: datetime) -> None:
        # Whole hours between ten and six in Lima, which is five behind UTC all year round.
        midnight = self.now.replace(hour=5, minute=0, second=0, microsecond=0)
        taken = {(row[1], row[5]) for row in self.rows["appointments"]}
        while True:
            at = midnight + timedelta(days=self.random.randint(1, 14), hours=self.random.randint(10, 18))
            if (lead_id, at) not in taken:
                break
        notes = "Prefiere pisos altos" if self.random.random() < 0.2 else None
        cancelled_at = self.now if self.random.random() < 0.1 else None
        self.rows["appointments"].append(
            (
                self._id(),
                lead_id,
                conversation_id,
                home.project.id,
                home.id,
                at,
                notes,
                cancelled_at,
                booked_at,
            )
        )

    def _id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def _moment(self) -> datetime:
        return self.now - timedelta(seconds=self.random.randint(3600, _DAYS_BACK * 86400))


def _rooms(bedrooms: int) -> str:
    if bedrooms == 0:
        return "un ambiente"
    return f"{texts.NUMBERS[bedrooms]} dormitorio{'s' if bedrooms > 1 else ''}"


def _bathrooms(bathrooms: int) -> str:
    number = texts.NUMBERS[bathrooms].capitalize()
    return f"{number} baño{'s' if bathrooms > 1 else ''} completo{'s' if bathrooms > 1 else ''}"


def _contracted(text: str) -> str:
    return text.replace(" de el ", " del ").replace(" a el ", " al ")
