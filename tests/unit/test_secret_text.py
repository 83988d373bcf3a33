"""What is never shown, however it is written: secrets in texts of others, passwords in URLs."""

import base64
import html
import json
import quopri
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from schedule_grpc.text.secrets import Secrets, check_hosts, shown, shown_address

FOREIGN = 'tök+en/"1&2 <3>\\%41='
ASCII = 's3cr+t/"&<>\\%41 ='


def in_base64(text: str) -> str:
    """Return a text in base64."""
    return base64.b64encode(text.encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "upper case": str.upper,
    "percent": lambda secret: quote(secret, safe=""),
    "a form's": quote_plus,
    "percent, every character": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, by numbers": lambda secret: "".join(f"&#{ord(each)};" for each in secret),
    "HTML, by hexadecimal numbers": lambda secret: "".join(f"&#x{ord(each):04x};" for each in secret),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON, every character": lambda secret: "".join(f"\\u{ord(each):04x}" for each in secret),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "Python's repr": lambda secret: repr(secret.encode()),
    "JSON in HTML in a URL": lambda secret: quote(html.escape(json.dumps(secret)), safe=""),
    "quoted-printable": lambda secret: quopri.encodestring(secret.encode(), quotetabs=True).decode(),
    "UTF-16 that was read as UTF-8": "\0".join,
    "folded": "\r\n".join,
    "hexadecimal": lambda secret: secret.encode().hex(),
    "base64": in_base64,
    "base64, after a user's name": lambda secret: in_base64(f"ana:{secret}"),
    "base64, after another user's name": lambda secret: in_base64(f"bo:{secret}"),
    "base64, within a text": lambda secret: in_base64(f"Bearer {secret}, or so"),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64, percent": lambda secret: quote(in_base64(secret), safe=""),
}


ASCII_ONLY = ("upper case", "UTF-16 that was read as UTF-8", "quoted-printable")
AROUND = {"base64, within a text": 24, "JSON in HTML in a URL": 20}
"""Characters of what stands around a secret in a spelling; with others it is less."""


@pytest.mark.parametrize(
    ("spelling", "secret"),
    [(each, ASCII) for each in SPELLINGS]
    + [(each, "hunter22") for each in SPELLINGS]
    + [(each, FOREIGN) for each in SPELLINGS if each not in ASCII_ONLY],
)
def test_a_secret_is_covered_in_every_spelling(spelling: str, secret: str):
    """What stands around it stays, and nothing of it is left."""
    covered = Secrets([secret]).hide(f"It said [{SPELLINGS[spelling](secret)}] and no more.")
    before, stars, after = covered.partition("***")
    assert stars
    assert before.startswith("It said [")
    assert after.endswith("] and no more.")
    assert len(before + after) <= len("It said [] and no more.") + AROUND.get(spelling, 10)


def test_credentials_in_base64_are_covered_decoded_too():
    """A server that is sent `Basic ...` says which password was wrong."""
    secrets = Secrets([in_base64("ana:hunter22")])
    assert secrets.hide("wrong password hunter22 of ana") == "wrong password *** of ana"


def test_a_text_without_a_secret_is_the_same():
    """Escapes, entities and control characters of its own are left as they are."""
    text = 'a%20b &amp; "\\u0041" =3D\r\n\0 Zm9vYmFy 100% \\x'
    assert Secrets([FOREIGN]).hide(text) == text
    assert Secrets().hide(text) == text


def test_the_end_that_cuts_a_secret_in_two_shows_none_of_it():
    """And nothing of what follows."""
    text = f"ab {quote(ASCII, safe='')} cd"
    secrets = Secrets([ASCII])
    assert [secrets.cover(text, length) for length in (2, 3, 4, 20)] == ["ab", "ab ", "ab ***", "ab ***"]
    assert secrets.cover(text, len(text)) == "ab *** cd"


def test_a_short_secret_hides_the_whole_text_it_occurs_in():
    """Stars in its place would only show where it is."""
    secrets = Secrets(["ab", "longer"])
    assert secrets.hide("a bad abbot, no longer") == "failed (what it said may hold a secret, and is not shown)"
    assert secrets.hide("no longer") == "no ***"


def test_the_longer_of_two_secrets_is_hidden_first():
    """Or what it has beyond the shorter one would be left."""
    secrets = Secrets(["geheim"])
    assert secrets.hide("geheimnis") == "***nis"
    secrets.add("geheimnis")
    assert secrets.hide("geheimnis, geheim") == "***, ***"


def test_options_in_tables_and_lists_are_searched():
    """By the name of what stands there, or as the password of a URL."""
    secrets = Secrets()
    secrets.add_options({"urls": ["amqp://ana:first1@h"], "deep": [{"token": "second2"}], "token_file": "/run/third3"})
    assert secrets.hide("first1 second2 /run/third3") == "*** *** /run/third3"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://ana:hunter22@host/x?y=z", "mysql://***@host/x?…"),
        ("mysql://ana:a@hunter22@host/x", "mysql://***@host/x"),
        ("postgresql://h1:5432,h2:5433/d", "postgresql://h1:5432,h2:5433/d"),
        ("http://[::1]:80/v1#hunter22", "http://[::1]:80/v1?…"),
        ("platform.db", "platform.db"),
        ("postgres:bob:hunter22", "postgres:…"),
        ("bob:hunter22@host/d", "bob:…"),
        ("hunter22@host", "…"),
        ("postgresql://bob:hunter22", "postgresql://…"),
        ("postgresql://bob:hunter/22@host/d", "postgresql://…"),
        ("postgresql://bob:hunter?22@host/d", "postgresql://…"),
        ("postgresql://bob:hunter#22@host/d", "postgresql://…"),
        ("postgresql://bob@host:hunter22/d", "postgresql://…"),
        ("postgresql://bob@host:99999/d", "postgresql://…"),
        ("postgresql://bob:hunter22@[::1/d", "postgresql://…"),
        ("hunter22 ://host", "…"),
    ],
)
def test_a_url_is_shown_without_user_password_and_parameters(url: str, told: str):
    """Where it is malformed, without whatever may be one of these."""
    assert shown(url) == told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bob:hunter22",
        "postgresql://bob:hunter/22@host/d",
        "postgresql://bob:hunter22@host:99999/d",
        "postgresql://bob:hunter22@host:-1/d",
        "postgresql://bob:hunter22@[::1/d",
        "postgresql://bob:hunter22\u2100@host/d",
        "postgresql://bob:hunter22\n@host/d",
    ],
)
def test_a_url_whose_hosts_cannot_be_told_is_refused_without_quoting_it(url: str):
    """What would be taken for a port may be a part of the password."""
    with pytest.raises(ValueError, match=r"its URL") as refused:
        check_hosts(url)
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///d?host=/run/postgresql",
        "postgresql://bob@%2Frun%2Fpostgresql:5432/d",
        "postgresql://bob:hunter22@a,b:5433,[::1]:5434/d?application_name=a@b",
        "azurestoragequeues://DefaultAzureCredential@https://storage.queue.example",
        "filesystem://",
        "table://DB/queue_jobs",
    ],
)
def test_a_url_may_have_any_number_of_hosts(url: str):
    """None, several, folders of sockets."""
    check_hosts(url)


@pytest.mark.parametrize(
    ("address", "told"),
    [("127.0.0.1:99999", "'127.0.0.1:99999'"), ("localhost", "'localhost'"), ("bob:hunter22@host:1", "'bob:…'")],
)
def test_an_address_is_shown_if_it_is_nothing_else(address: str, told: str):
    """So that a wrong port can be seen, and no password."""
    assert shown_address(address) == told
