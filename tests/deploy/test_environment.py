"""`graphyard env`: lines a shell can eval whatever is in them, and that lead the CLI past every proxy."""

import subprocess
from pathlib import Path

import pytest

from deploy.embedded.environment import client_variables, exports
from deploy.embedded.home import Home
from deploy.embedded.ports import Stack


@pytest.fixture
def made(home: Home) -> Home:
    home.make()
    home.api_key.write_text("gy_secret\n")
    return home


def test_it_says_where_to_and_with_which_key(made: Home) -> None:
    variables = client_variables(made, Stack(port=5000, tenant_id="tenant"), {})
    assert variables["LANGGRAPH_HOST_URL"] == "http://127.0.0.1:5000/api-host"
    assert variables["LANGGRAPH_HOST_API_KEY"] == "gy_secret"
    assert variables["LANGSMITH_TENANT_ID"] == "tenant"
    assert variables["LANGGRAPH_CLI_NO_ANALYTICS"] == "1"
    assert variables["GRAPHYARD_HOME"] == str(made.root)


@pytest.mark.parametrize(
    ("environ", "public_url", "hosts"),
    [
        ({}, "", "127.0.0.1,localhost,::1"),
        ({"no_proxy": "a.example, b.example"}, "", "a.example,b.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "a.example", "NO_PROXY": "a.example,c"}, "", "a.example,c,127.0.0.1,localhost,::1"),
        ({}, "https://yard.example", "yard.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "127.0.0.1,localhost,::1"}, "", "127.0.0.1,localhost,::1"),
    ],
)
def test_no_proxy_is_extended_and_not_replaced(
    made: Home, environ: dict[str, str], public_url: str, hosts: str
) -> None:
    variables = client_variables(made, Stack(public_url=public_url), environ)
    assert variables["no_proxy"] == variables["NO_PROXY"] == hosts


@pytest.mark.parametrize(
    "value", ["plain", "two words", "it's", '"$(touch /tmp/x)`', "a\nb", "", "ü; rm -rf /", "\\"]
)
def test_any_value_comes_through_a_shell_unchanged(tmp_path: Path, value: str) -> None:
    lines = exports({"GY_TEST": value}, commands=tmp_path / "it's here")
    shown = subprocess.run(
        ["sh", "-c", f'{lines}printf %s "$GY_TEST"'], capture_output=True, text=True, check=True
    ).stdout
    assert shown == value


def test_the_commands_come_last_on_the_path_and_only_once(tmp_path: Path) -> None:
    commands = tmp_path / "our commands"
    commands.mkdir()
    lines = exports({}, commands=commands)
    shown = subprocess.run(
        ["sh", "-c", f'{lines}{lines}printf %s "$PATH"'],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == f"/usr/bin:/bin:{commands}"
