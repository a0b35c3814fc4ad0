"""The Postman collection: its structure, and that it asks for what the engine serves."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from app import app
from chalicelib.domain.token import ANY
from chalicelib.handlers.rest import MOST_ON_A_PAGE
from chalicelib.intake.validation import terms

PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


# As much of the collection format, version 2.1.0, as the collection uses; a misspelt or misplaced field is refused.
class Part(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Info(Part, rename={"postman_id": "_postman_id"}):
    name: str
    schema: Literal["https://schema.getpostman.com/json/collection/v2.1.0/collection.json"]
    postman_id: str
    description: str


class Script(Part):
    type: Literal["text/javascript"]
    exec: list[str]


class Event(Part):
    listen: Literal["prerequest", "test"]
    script: Script


class Pair(Part):
    key: str
    value: str
    description: str = ""
    disabled: bool = False


class Url(Part):
    raw: str
    protocol: Literal["http", "https"]
    host: list[str]
    port: str
    path: list[str]
    query: list[Pair] = []


class Raw(Part):
    language: Literal["json"]


class Options(Part):
    raw: Raw


class Body(Part):
    mode: Literal["raw"]
    raw: str
    options: Options


class Request(Part):
    method: Literal["GET", "POST"]
    header: list[Pair]
    url: Url
    description: str
    body: Body | None = None


class Item(Part):
    name: str
    request: Request
    response: list[None]
    event: list[Event] = []


class Variable(Part):
    key: str
    value: str
    type: Literal["string"]


class Auth(Part):
    type: Literal["bearer"]
    bearer: list[Variable]


class Collection(Part):
    info: Info
    auth: Auth
    item: list[Item]
    variable: list[Variable]


TEXT = (Path(__file__).parents[2] / "postman" / "order-engine.postman_collection.json").read_text()
COLLECTION = msgspec.json.decode(TEXT, type=Collection)
ITEMS = COLLECTION.item


def named(item: Item) -> str:
    return item.name


def asking(path: str) -> Item:
    """The one item that asks for a path."""
    found = [item for item in ITEMS if item.request.url.raw == f"http://localhost:3000{path}"]
    assert len(found) == 1
    return found[0]


def create_order() -> Item:
    return asking("/api/orders/execute")


def test_it_holds_the_order_and_at_least_two_gets() -> None:
    assert create_order().request.method == "POST"
    assert sum(item.request.method == "GET" for item in ITEMS) >= 2
    assert len({item.name for item in ITEMS}) == len(ITEMS)


@pytest.mark.parametrize("item", ITEMS, ids=named)
def test_a_url_is_the_sum_of_its_parts(item: Item) -> None:
    url = item.request.url
    whole = urlsplit(url.raw)
    assert (url.protocol, ".".join(url.host), url.port) == (whole.scheme, whole.hostname, str(whole.port))
    assert "/" + "/".join(url.path) == whole.path
    assert [(pair.key, pair.value) for pair in url.query if not pair.disabled] == parse_qsl(whole.query)


@pytest.mark.parametrize("item", ITEMS, ids=named)
def test_a_url_is_a_route(item: Item) -> None:
    path = "/" + "/".join(PLACEHOLDER.sub("{order_id}", part) for part in item.request.url.path)
    assert item.request.method in app.routes[path]


@pytest.mark.parametrize("item", ITEMS, ids=named)
def test_a_body_goes_with_a_post_alone(item: Item) -> None:
    assert item.request.body is None or item.request.method == "POST"


def test_every_request_gives_the_key() -> None:
    assert [(pair.key, pair.value) for pair in COLLECTION.auth.bearer] == [("token", "{{apiKey}}")]


def test_the_order_is_valid_as_it_is_sent() -> None:
    request = create_order().request
    headers = {header.key.lower(): header.value for header in request.header}
    assert request.body is not None
    wanted = terms(request.body.raw.encode(), headers["content-type"], ANY, datetime.now(UTC))
    assert (wanted.token_in.name, wanted.token_out.name, wanted.amount) == ("SOL", "USDC", 3_000_000_000)


def test_the_quote_is_valid_as_it_is_sent() -> None:
    body = asking("/api/quotes").request.body
    assert body is not None
    assert terms(body.raw.encode(), None, ANY, datetime.now(UTC)).amount_out == 450_000_000


def test_every_route_is_asked_for() -> None:
    paths = {"/" + "/".join(PLACEHOLDER.sub("{order_id}", part) for part in item.request.url.path) for item in ITEMS}
    assert paths == set(app.routes) - {"/"}


def test_the_order_leaves_its_id_for_the_get() -> None:
    script = [line for event in create_order().event if event.listen == "test" for line in event.script.exec]
    assert 'pm.collectionVariables.set("orderId", pm.response.json().orderId);' in script
    assert any(item.request.url.path == ["api", "orders", "{{orderId}}"] for item in ITEMS)


def test_every_placeholder_is_a_variable() -> None:
    defined = {variable.key for variable in COLLECTION.variable}
    assert set(PLACEHOLDER.findall(TEXT)) == defined


def test_the_list_asks_for_no_more_than_a_page() -> None:
    limits = [int(pair.value) for item in ITEMS for pair in item.request.url.query if pair.key == "limit"]
    assert limits
    assert all(1 <= limit <= MOST_ON_A_PAGE for limit in limits)
