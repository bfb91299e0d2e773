"""Who we are towards a registry, as pull secrets say."""

import base64
import json
from typing import Any

import pytest

from dataplane.kubernetes.logins import Login, address, login_of


def a_secret(auths: Any) -> dict[str, Any]:
    text = json.dumps({"auths": auths}).encode()
    return {"data": {".dockerconfigjson": base64.b64encode(text).decode()}}


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("auths", "registry", "repository", "username"),
    [
        ({"ghcr.io": auth("a", "p")}, "ghcr.io", "team/agent", "a"),
        ({"https://ghcr.io/": auth("a", "p")}, "ghcr.io", "team/agent", "a"),
        ({"ghcr.io": {"username": "a", "password": "p"}}, "ghcr.io", "team/agent", "a"),
        ({"ghcr.io": auth("a", "p"), "ghcr.io/team": auth("b", "p")}, "ghcr.io", "team/agent", "b"),
        ({"ghcr.io/te": auth("b", "p")}, "ghcr.io", "team/agent", ""),
        ({"https://index.docker.io/v1/": auth("a", "p")}, "docker.io", "team/agent", "a"),
        ({"quay.io": auth("a", "p")}, "ghcr.io", "team/agent", ""),
        ({"ghcr.io": {"auth": "%%%"}}, "ghcr.io", "team/agent", ""),
        ({"ghcr.io": "text"}, "ghcr.io", "team/agent", ""),
        ([], "ghcr.io", "team/agent", ""),
        ({}, "ghcr.io", "team/agent", ""),
    ],
)
def test_the_entry_that_fits_best(auths: Any, registry: str, repository: str, username: str) -> None:
    assert login_of([a_secret(auths)], registry, repository).username == username


def test_a_password_with_colons_and_older_secrets() -> None:
    assert login_of([a_secret({"r.io": auth("a", "p:q")})], "r.io", "x") == Login("a", "p:q")
    older = {"data": {".dockercfg": base64.b64encode(json.dumps({"r.io": auth("a", "p")}).encode()).decode()}}
    for nothing in ({}, {"data": {".dockerconfigjson": "%"}}, {"data": {"x": "y"}}):
        assert login_of([nothing, older], "r.io", "x") == Login("a", "p")
    assert "p:q" not in repr(Login("a", "p:q"))


@pytest.mark.parametrize(
    ("host", "insecure", "url"),
    [
        ("ghcr.io", False, "https://ghcr.io"),
        ("docker.io", False, "https://registry-1.docker.io"),
        ("localhost:5000", False, "http://localhost:5000"),
        ("127.0.0.1:5000", False, "http://127.0.0.1:5000"),
        ("registry.local:5000", True, "http://registry.local:5000"),
        ("registry.local:5000", False, "https://registry.local:5000"),
    ],
)
def test_where_it_listens(host: str, insecure: bool, url: str) -> None:
    assert address(host, insecure=insecure) == url
