"""Ports: the public one is the owner's choice, the others are found once and kept."""

import json
import socket
from pathlib import Path

import pytest

from deploy.embedded.ports import INTERNAL, RANGE, Stack, check_public, is_free, settle
from deploy.embedded.troubles import Trouble

KEPT = {name: 20_100 + index for index, name in enumerate(INTERNAL)}


def test_a_fresh_stack_gets_a_port_of_its_own_for_each_part() -> None:
    settled = settle({}, ours=lambda _: False)
    assert set(settled) == set(INTERNAL)
    assert len(set(settled.values())) == len(INTERNAL)
    assert all(port in RANGE for port in settled.values())


@pytest.mark.parametrize(
    ("taken", "ours", "moved"),
    [
        ([], [], []),
        (["postgres"], [], ["postgres"]),
        (["postgres", "temporal_ui"], [], ["postgres", "temporal_ui"]),
        (["postgres"], ["postgres"], []),
        (list(INTERNAL), list(INTERNAL), []),
    ],
    ids=["all free", "one taken by others", "two taken by others", "taken by ourselves", "running"],
)
def test_kept_ports_stay_unless_others_sit_on_them(
    taken: list[str], ours: list[str], moved: list[str]
) -> None:
    busy = {KEPT[name] for name in taken}
    settled = settle(KEPT, ours=lambda name: name in ours, free=lambda port: port not in busy)
    assert [name for name in INTERNAL if settled[name] != KEPT[name]] == moved
    assert not (set(settled.values()) & {KEPT[name] for name in moved})


def test_a_port_is_free_until_somebody_listens_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_taken_public_port_is_told_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Trouble, match=rf"Port {port} .* is taken .* GRAPHYARD_PORT=<port>\."):
            check_public(Stack(port=port))


@pytest.mark.parametrize(
    ("stack", "listen", "url"),
    [
        (Stack(), "127.0.0.1:4747", "http://127.0.0.1:4747"),
        (Stack(port=80, bind="0.0.0.0"), "0.0.0.0:80", "http://127.0.0.1:80"),
        (Stack(bind="10.1.2.3"), "10.1.2.3:4747", "http://10.1.2.3:4747"),
        (Stack(bind="::1"), "[::1]:4747", "http://[::1]:4747"),
        (Stack(bind="::"), "[::]:4747", "http://127.0.0.1:4747"),
        (Stack(public_url="https://yard.example/x/"), "127.0.0.1:4747", "https://yard.example/x"),
    ],
)
def test_the_url_is_what_callers_can_reach(stack: Stack, listen: str, url: str) -> None:
    assert (stack.listen, stack.url) == (listen, url)


def test_a_stack_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    stack = Stack(port=5000, tenant_id="t", ports=KEPT)
    stack.save(path)
    assert Stack.load(path) == stack
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_newer_release_wrote_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_text(json.dumps({"port": 5000, "colour": "green"}))
    assert Stack.load(path).port == 5000


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_a_broken_stack_file_is_told_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(text)
    with pytest.raises(Trouble, match=r"stack\.json cannot be read"):
        Stack.load(path)


@pytest.mark.parametrize("said", ["0", "65536", "http", "-1", "4747 ", "٤٧٤٧"])
def test_a_public_port_has_to_be_a_port(said: str) -> None:
    with pytest.raises(Trouble, match="GRAPHYARD_PORT is"):
        Stack().told({"GRAPHYARD_PORT": said})


def test_the_environment_wins_and_silence_keeps() -> None:
    stack = Stack().told({"GRAPHYARD_PORT": "5001", "GRAPHYARD_BIND": "0.0.0.0"})
    assert (stack.port, stack.bind) == (5001, "0.0.0.0")
    assert stack.told({}) == stack
