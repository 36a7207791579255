"""The embedded catalog, over HTTP."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from local.stack.catalog_server import CatalogServer
from tests.integration.fault_proxy import reset

GOOD = {"uri": "https://t.example/{z}/{x}/{y}.png", "images": [{"uuid": "http://i.example/1.tif"}]}


def post(catalog: CatalogServer, payload: Any, token: str = "t") -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(f"{catalog.url}/tms", json=payload, headers=headers, timeout=5)


@pytest.mark.parametrize("base_path", ["", "/v1", "/v1/"])
def test_a_notification_is_taken_and_listed(base_path: str) -> None:
    # GIVEN a catalog, perhaps under a path
    with CatalogServer("t", base_path=base_path) as catalog:
        # WHEN it is told of tiles
        answer = post(catalog, GOOD)

        # THEN it lists them
        assert answer.status_code == 200
        assert requests.get(f"{catalog.url}/tms", timeout=5).json() == {"results": [GOOD]}
        assert catalog.entries == {GOOD["uri"]: ["http://i.example/1.tif"]}
        assert catalog.taken == [GOOD]


def test_a_known_uri_is_updated() -> None:
    # GIVEN a catalog that knows a uri
    with CatalogServer("t") as catalog:
        post(catalog, GOOD)

        # WHEN it is told of it with other images
        post(catalog, GOOD | {"images": [{"uuid": "http://i.example/2.tif"}]})

        # THEN there is one entry, with those
        assert catalog.entries == {GOOD["uri"]: ["http://i.example/2.tif"]}
        assert len(catalog.taken) == 2


@pytest.mark.parametrize("header", [None, "Bearer wrong", "t", "Basic t"])
def test_without_the_token_nothing_is_taken(header: str | None) -> None:
    with CatalogServer("t") as catalog:
        # WHEN a POST comes without the right token
        headers = {"Authorization": header} if header else {}
        answer = requests.post(f"{catalog.url}/tms", json=GOOD, headers=headers, timeout=5)

        # THEN it is refused, and remembered as such
        assert answer.status_code == 401
        assert catalog.entries == {}
        assert [request.headers.get("Authorization") for request in catalog.requests] == [header]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"uri": "u"},
        {"images": []},
        {"uri": 3, "images": []},
        {"uri": "u", "images": "i"},
        {"uri": "u", "images": ["i"]},
        {"uri": "u", "images": [{"uuid": 3}]},
        {"uri": "u", "images": [{"url": "i"}]},
    ],
    ids=str,
)
def test_missing_or_ill_typed_fields_are_refused_with_a_reason(payload: object) -> None:
    with CatalogServer("t") as catalog:
        # WHEN such a payload comes
        answer = post(catalog, payload)

        # THEN it is refused with a JSON message
        assert answer.status_code == 400
        assert answer.json()["message"]
        assert catalog.entries == {}


def test_an_image_that_is_not_indexed_yet_is_refused_once() -> None:
    # GIVEN a catalog that has not indexed an image
    with CatalogServer("t", not_yet_indexed=["http://i.example/1.tif"]) as catalog:
        # WHEN it is told of it twice
        statuses = [post(catalog, GOOD).status_code for _ in range(2)]

        # THEN it takes it the second time
        assert statuses == [400, 200]
        assert catalog.taken == [GOOD]


def test_any_other_path_is_not_found() -> None:
    with CatalogServer("t", base_path="/v1") as catalog:
        root = catalog.url.removesuffix("/v1")

        # WHEN the path is wrong
        # THEN it is not found
        assert requests.get(f"{root}/tms", timeout=5).status_code == 404
        assert requests.get(f"{root}/v1/tms/", timeout=5).status_code == 404


def test_a_client_that_leaves_puts_no_traceback_into_a_green_run(capfd: pytest.CaptureFixture[str]) -> None:
    with CatalogServer("t") as catalog:
        # WHEN a client sends half a request, and resets the connection
        parts = urlsplit(catalog.url)
        with socket.create_connection((parts.hostname, parts.port)) as client:
            client.sendall(b"POST /tms HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
            reset(client)
        # THEN the next one is answered, and nothing is said of the first
        assert post(catalog, GOOD).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_it_is_gone_when_its_context_ends() -> None:
    # GIVEN a catalog that has ended
    with CatalogServer("t") as catalog:
        pass

    # WHEN it is asked
    # THEN nobody answers
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{catalog.url}/tms", timeout=5)
