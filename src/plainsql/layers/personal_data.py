"""The setting ``personal_data`` of copied layers: telephone numbers and addresses that are encrypted.

They are stored as encrypted, searchable values: a row is found by their digests. The value is bound to a key
that the caller knows before the row is there, so some queries take a parameter more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from plainsql.layers.layer_edits import Edit, NewFile

__all__ = ["ENCRYPTING_EDITS", "PERSONAL_DATA"]

PERSONAL_DATA: Final = ("plain", "encrypted")
"""The values of the setting; the first one is its default."""


# -- Realty: bound to the lead's id, which the caller gives

_LEADS: Final = "sql/realty/leads"
_LEADS_TABLE: Final = "migrations/realty/0003_leads.sql"
_LEAD_COLUMNS: Final = "-- column email: encrypted (id)\n-- column phone: encrypted (id)\n"
_FIND_LEAD: Final = f"""\
-- The lead with this e-mail address; the newest one if several share it.
-- returns: optional Lead
{_LEAD_COLUMNS}-- param email: digest as email
select
  l.id,
  l.name,
  l.email,
  l.phone,
  l.telegram_chat_id,
  l.created_at,
  l.updated_at
from realty.leads as l
where l.email_digest = any(:email)
order by l.created_at desc, l.id desc
limit 1
"""

_REALTY: Final = (
    Edit(
        _LEADS_TABLE,
        "  email text,\n  phone text,\n",
        "  email bytea,\n"
        "  phone bytea,\n"
        "  email_digest bytea generated always as (substring(email from 5 for 32)) stored,\n"
        "  phone_digest bytea generated always as (substring(phone from 5 for 32)) stored,\n",
    ),
    Edit(
        _LEADS_TABLE,
        "  constraint leads_email_has_at check (email like '_%@_%'),\n"
        "  constraint leads_phone_not_empty check (phone <> ''),\n",
        "",
    ),
    Edit(
        _LEADS_TABLE,
        "The private Telegram chat in which this lead talks to us';\n",
        "The private Telegram chat in which this lead talks to us';\n"
        "comment on column realty.leads.email is 'Encrypted, bound to the id; its digest is searched';\n"
        "comment on column realty.leads.phone is 'Encrypted, bound to the id; its digest is searched';\n",
    ),
    Edit(
        _LEADS_TABLE,
        "-- end.\ncreate index leads_phone_idx on realty.leads (phone, created_at, id) "
        "where phone is not null;\n",
        "-- end.\ncreate index leads_phone_idx on realty.leads (phone_digest, created_at, id);\n\n"
        "create index leads_email_idx on realty.leads (email_digest, created_at, id);\n",
    ),
    Edit(
        "migrations/realty/0010_application_role.sql",
        "grant insert (\n  name,\n  email,\n",
        "grant insert (\n  id,\n  name,\n  email,\n",
    ),
    Edit(
        "migrations/realty/0010_application_role.sql",
        "ids, and what the database keeps itself. The statements\n-- are those",
        "other ids, and what the database keeps itself.\n-- The statements are those",
    ),
    Edit(f"{_LEADS}/*.sql", " Lead\n", f" Lead\n{_LEAD_COLUMNS}"),
    Edit(
        f"{_LEADS}/create.sql",
        "-- A Telegram chat belongs",
        "-- The caller gives the id, because phone and e-mail are encrypted for this row before they are\n"
        "-- sent.\n--\n-- A Telegram chat belongs",
    ),
    Edit(
        f"{_LEADS}/create.sql",
        "-- param email: = null\n-- param phone: = null\n",
        "-- param email: encrypted (id), searchable as email = null\n"
        "-- param phone: encrypted (id), searchable as phone = null\n",
    ),
    Edit(f"{_LEADS}/create.sql", "as l (\n  name,", "as l (\n  id,\n  name,"),
    Edit(f"{_LEADS}/create.sql", "values (\n  :name,", "values (\n  :id,\n  :name,"),
    Edit(
        f"{_LEADS}/update.sql",
        _LEAD_COLUMNS,
        f"{_LEAD_COLUMNS}-- param email: encrypted (id), searchable as email\n"
        "-- param phone: encrypted (id), searchable as phone\n",
    ),
    Edit(f"{_LEADS}/get_by_phone.sql", _LEAD_COLUMNS, f"{_LEAD_COLUMNS}-- param phone: digest as phone\n"),
    Edit(f"{_LEADS}/get_by_phone.sql", "where l.phone = :phone", "where l.phone_digest = any(:phone)"),
    NewFile(f"{_LEADS}/get_by_email.sql", _FIND_LEAD),
    Edit(
        "sql/realty/appointments/agenda_of_day.sql",
        "-- returns: many AgendaEntry\n",
        "-- returns: many AgendaEntry\n"
        "-- column lead_phone: encrypted as realty.leads.phone (id = lead_id)\n",
    ),
)


# -- Marketplace: bound to the buyer's id on the platform, because the database makes the other one

_BUYERS: Final = "sql/marketplace/buyers"
_BUYERS_TABLE: Final = "migrations/marketplace/0002_buyers.sql"
_BUYER_COLUMNS: Final = (
    "-- column phone: encrypted (wallapop_user_id)\n-- column email: encrypted (wallapop_user_id)\n"
)


def _find_buyer(column: str, what: str) -> str:
    return f"""\
-- The buyer with this {what}; the newest one if several share it.
-- returns: optional Buyer
{_BUYER_COLUMNS}-- param {column}: digest as {column}
select
  b.id,
  b.wallapop_user_id,
  b.username,
  b.display_name,
  b.is_verified,
  b.is_blocked,
  b.trust_score,
  b.phone,
  b.email,
  b.total_conversations,
  b.completed_purchases,
  b.profile_data,
  b.created_at,
  b.updated_at
from marketplace.buyers as b
where substring(b.{column} from 5 for 32) = any(:{column})
order by b.created_at desc, b.id desc
limit 1
"""


_MARKETPLACE: Final = (
    Edit(_BUYERS_TABLE, "  phone text,\n  email text,\n", "  phone bytea,\n  email bytea,\n"),
    Edit(
        _BUYERS_TABLE,
        "  constraint buyers_email_has_at check (email like '_%@_%'),\n"
        "  constraint buyers_phone_not_empty check (phone <> ''),\n",
        "",
    ),
    Edit(
        _BUYERS_TABLE,
        "create index buyers_created_at_idx",
        "comment on column marketplace.buyers.phone is\n"
        "'Encrypted, bound to wallapop_user_id; its digest is searched';\n"
        "comment on column marketplace.buyers.email is\n"
        "'Encrypted, bound to wallapop_user_id; its digest is searched';\n\n"
        "-- The digests are in the values, and indexed there: a condition on old.* and new.*, as that of\n"
        "-- the trigger below, allows no generated column.\n"
        "create index buyers_phone_idx\n"
        "on marketplace.buyers ((substring(phone from 5 for 32)), created_at, id);\n\n"
        "create index buyers_email_idx\n"
        "on marketplace.buyers ((substring(email from 5 for 32)), created_at, id);\n\n"
        "create index buyers_created_at_idx",
    ),
    Edit(f"{_BUYERS}/*.sql", " Buyer\n", f" Buyer\n{_BUYER_COLUMNS}"),
    Edit(
        f"{_BUYERS}/create*.sql",
        "-- param phone: = null\n-- param email: = null\n",
        "-- param phone: encrypted (wallapop_user_id), searchable as phone = null\n"
        "-- param email: encrypted (wallapop_user_id), searchable as email = null\n",
    ),
    Edit(
        f"{_BUYERS}/update.sql",
        _BUYER_COLUMNS,
        f"{_BUYER_COLUMNS}-- param phone: encrypted (wallapop_user_id), searchable as phone\n"
        "-- param email: encrypted (wallapop_user_id), searchable as email\n",
    ),
    Edit(
        f"{_BUYERS}/update.sql",
        "-- To block or unblock",
        "-- The buyer is named by the id on the platform, because phone and e-mail are bound to it.\n--\n"
        "-- To block or unblock",
    ),
    Edit(f"{_BUYERS}/update.sql", "where b.id = :id", "where b.wallapop_user_id = :wallapop_user_id"),
    NewFile(f"{_BUYERS}/get_by_phone.sql", _find_buyer("phone", "telephone number")),
    NewFile(f"{_BUYERS}/get_by_email.sql", _find_buyer("email", "e-mail address")),
)

# -- WhatsApp: bound to the contact's tenant and id, which the caller gives

_CONTACTS: Final = "sql/whatsapp/contacts"
_CONTACTS_TABLE: Final = "migrations/whatsapp/0003_contacts.sql"
_CONTACT_COLUMN: Final = "-- column phone_number: encrypted\n"
_CONTACT_PARAMETER: Final = "-- param phone_number: encrypted, searchable (tenant_id) as phone\n"
_WHY_CALLER: Final = (
    "-- The caller passes tenant and id, because the number is encrypted for this row before it is sent.\n"
    "-- The row-level security policy refuses any tenant but the current one.\n"
)

_WHATSAPP: Final = (
    Edit(
        _CONTACTS_TABLE,
        "  phone_number varchar(20) not null,\n",
        "  phone_number bytea not null,\n"
        "  phone_digest bytea generated always as (substring(phone_number from 5 for 32)) stored,\n",
    ),
    Edit(_CONTACTS_TABLE, "unique (tenant_id, phone_number),", "unique (tenant_id, phone_digest)"),
    Edit(_CONTACTS_TABLE, "  constraint contacts_phone_number_not_empty check (phone_number <> '')\n", ""),
    Edit(
        _CONTACTS_TABLE,
        "comment on column whatsapp.contacts.phone_number is "
        "'As WhatsApp writes it: digits, country first';\n",
        "comment on column whatsapp.contacts.phone_number is\n"
        "'As WhatsApp writes it: digits, country first; encrypted, bound to tenant and id';\n"
        "comment on column whatsapp.contacts.phone_digest is 'What a search by number finds';\n",
    ),
    Edit(f"{_CONTACTS}/*.sql", " Contact\n", f" Contact\n{_CONTACT_COLUMN}"),
    *(
        edit
        for name in ("create", "save")
        for edit in (
            Edit(
                f"{_CONTACTS}/{name}.sql",
                "-- returns:",
                f"--\n{_WHY_CALLER}-- returns:",
            ),
            Edit(f"{_CONTACTS}/{name}.sql", _CONTACT_COLUMN, _CONTACT_COLUMN + _CONTACT_PARAMETER),
            Edit(f"{_CONTACTS}/{name}.sql", "(\n  phone_number,", "(\n  tenant_id,\n  id,\n  phone_number,"),
            Edit(
                f"{_CONTACTS}/{name}.sql", "(\n  :phone_number,", "(\n  :tenant_id,\n  :id,\n  :phone_number,"
            ),
        )
    ),
    Edit(f"{_CONTACTS}/save.sql", "(tenant_id, phone_number) do", "(tenant_id, phone_digest) do"),
    Edit(f"{_CONTACTS}/update.sql", _CONTACT_COLUMN, _CONTACT_COLUMN + _CONTACT_PARAMETER),
    Edit(f"{_CONTACTS}/update.sql", "(select whatsapp.current_tenant())", ":tenant_id"),
    Edit(
        f"{_CONTACTS}/get_by_phone.sql",
        f"{_CONTACT_COLUMN}-- cache: 5m\n",
        f"{_CONTACT_COLUMN}-- param phone_number: digest (tenant_id) as phone\n",
    ),
    Edit(f"{_CONTACTS}/get_by_phone.sql", "(select whatsapp.current_tenant())", ":tenant_id"),
    Edit(
        f"{_CONTACTS}/get_by_phone.sql",
        "c.phone_number = :phone_number\n",
        "c.phone_digest = any(:phone_number)\norder by c.created_at, c.id\nlimit 1\n",
    ),
)


ENCRYPTING_EDITS: Final[Mapping[str, Sequence[Edit | NewFile]]] = MappingProxyType(
    {"marketplace": _MARKETPLACE, "realty": _REALTY, "whatsapp": _WHATSAPP}
)
"""The changes of each layer that has personal data."""
