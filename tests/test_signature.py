"""The signature of a query's call, as `inspect`, the REPL and notebooks see it."""

from __future__ import annotations

import inspect
import pydoc

import jedi

import plainsql
from plainsql.layers.realty import leads, properties
from plainsql.query import Query


def test_a_query_shows_its_parameters_and_its_result() -> None:
    signature = inspect.signature(leads.get_by_id)
    assert [(p.name, p.kind.name) for p in signature.parameters.values()] == [
        ("db", "POSITIONAL_ONLY"),
        ("id", "KEYWORD_ONLY"),
    ]
    assert signature.parameters["id"].annotation == "UUID"
    assert signature.return_annotation == leads.Lead | None


def test_defaults_are_shown() -> None:
    parameters = inspect.signature(properties.search).parameters
    assert parameters["limit"].default == 5
    assert parameters["district"].default is plainsql.UNSET
    assert parameters["embedding"].default is inspect.Parameter.empty
    assert inspect.signature(properties.search).return_annotation == list[properties.PropertyMatch]


def test_what_is_loaded_has_one_too() -> None:
    query = plainsql.load("sql").realty.leads.get_by_id
    assert list(inspect.signature(query).parameters) == ["db", "id"]


def test_the_class_keeps_its_own() -> None:
    assert "path" in inspect.signature(Query).parameters


def test_help_shows_the_call_and_the_description() -> None:
    shown = pydoc.plain(pydoc.render_doc(properties.get_by_id))
    assert "properties.get_by_id(db, id: UUID)" in shown
    assert (properties.get_by_id.__doc__ or "?").partition("\n")[0] in shown


def test_completion_in_ipython_and_notebooks_knows_the_parameters() -> None:
    # IPython and Jupyter give Jedi the objects of the session.
    session = [{"leads": leads}]
    (signature,) = jedi.Interpreter("leads.update(db, ", session).get_signatures()
    names = ["db", "name", "email", "phone", "telegram_chat_id", "id"]
    assert [parameter.name for parameter in signature.params] == names
    completed = [each.name for each in jedi.Interpreter("leads.update(db, em", session).complete()]
    assert completed == ["email="]


def test_a_loaded_query_shows_its_names_too() -> None:
    session = [{"sql": plainsql.load("sql")}]
    (signature,) = jedi.Interpreter("sql.realty.leads.get_by_id(", session).get_signatures()
    assert [parameter.name for parameter in signature.params] == ["db", "id"]
