"""The members that Patroni names: recorded answers, and all that is no answer."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import msgspec
import pytest

from plainsql.errors import ConnectError
from plainsql.patroni import PatroniClient
from plainsql.replica_sources import Member, Patroni, read_source
from tests.patroni_answers import AFTER_A_FAILOVER, SETTLED, TAGGED, PatroniAnswers, serve
from tests.tls import Authority

N1, N2, N3 = Member("127.0.0.1", 44715), Member("127.0.0.1", 39579), Member("127.0.0.1", 36299)


def client(url: str) -> PatroniClient:
    source = read_source(url, "replicas")
    assert isinstance(source, Patroni)
    return PatroniClient(source)


def test_the_members_are_the_replicas_that_patroni_balances_reads_over() -> None:
    with serve() as answers:
        patroni = client(answers.url)
        assert patroni.ask() == [N1, N3]
        answers.body = TAGGED
        assert patroni.ask() == [N3]
        answers.body = AFTER_A_FAILOVER
        assert patroni.ask() == [N2._replace(is_ready=False)]
        answers.body = SETTLED.replace('"host": "127.0.0.1"', '"host": "a,b"', 1)
        assert patroni.ask() == [N3], "two hosts are no member"
        answers.body = TAGGED.replace('"noloadbalance": true', '"noloadbalance": "off"')
        assert patroni.ask() == [N1, N3]


def no_cluster(answers: PatroniAnswers) -> None:
    answers.body = '{"members": [{"name": 1}]}'


def no_json(answers: PatroniAnswers) -> None:
    answers.body = "<html>"


def too_long(answers: PatroniAnswers) -> None:
    answers.body = SETTLED + " " * (1 << 20)


def refusing(answers: PatroniAnswers) -> None:
    answers.status = 503


def many(answers: PatroniAnswers) -> None:
    members = [{"name": "n", "role": "replica", "host": f"h{n}"} for n in range(65)]
    answers.body = msgspec.json.encode({"members": members})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_cluster, "the server there does not answer as Patroni does"),
        (no_json, "the server there does not answer as Patroni does"),
        (too_long, "the server there does not answer as Patroni does"),
        (refusing, "the server there answers 503"),
        (many, "expected 64 replicas at most, found 65"),
    ],
)
def test_an_answer_that_is_none_of_patronis_is_an_error(make: object, message: str) -> None:
    assert callable(make)
    with serve() as answers:
        make(answers)
        with pytest.raises(ConnectError) as caught:
            client(answers.url).ask()
        assert caught.value.message == f"the Patroni at 127.0.0.1:{answers.port}: {message}"


def test_another_address_is_asked_if_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plainsql.patroni.ENDPOINT_S", 0.2)
    with serve() as silent, serve() as well:
        silent.is_silent = True
        patroni = client(f"patroni+http://127.0.0.1:{silent.port},127.0.0.1:{well.port},127.0.0.1:1")
        for _ in range(3):
            assert patroni.ask() == [N1, N3]
        assert well.asked == 3
        assert silent.asked <= 1, "the one that has answered is asked first"
        well.status = 500
        with pytest.raises(ConnectError, match=r"the Patroni at 127.0.0.1:\d+: "):
            patroni.ask()


def test_a_question_in_progress_can_be_ended() -> None:
    with serve() as answers:
        answers.is_silent = True
        patroni = client(answers.url)
        failed: list[ConnectError] = []

        def ask() -> None:
            try:
                patroni.ask()
            except ConnectError as error:
                failed.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not answers.asked:
            thread.join(0.001)
        patroni.abort()
        thread.join(0.5)
        assert not thread.is_alive(), "it would wait a second"
        assert failed[0].message.endswith("the connection was closed without an answer")


def test_the_certificate_of_patroni_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    with serve(context) as answers:
        secure = f"patroni+https://127.0.0.1:{answers.port}"
        assert client(f"{secure}?sslrootcert={authority.file}").ask() == [N1, N3]
        with pytest.raises(ConnectError, match="not signed by an authority that is trusted here"):
            client(secure).ask()
        with pytest.raises(ConnectError, match="certificate is for another host"):
            client(f"{secure.replace('127.0.0.1', 'localhost')}?sslrootcert={authority.file}").ask()
        with pytest.raises(ConnectError, match="cannot be used"):
            client(f"{secure}?sslrootcert={tmp_path / 'missing'}")
