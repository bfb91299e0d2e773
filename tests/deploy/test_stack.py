"""A whole stack as its owner meets it: up, up again, hurt, mended, down, gone."""

import asyncio
import json
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.stack import Stack, free_port, running

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
PARTS = ("postgres", "temporal", "api", "worker", "caddy", "keeper")


@pytest.fixture(scope="module")
def second() -> Iterator[Stack]:
    """Another stack beside the session's; the last test that takes it removes it."""
    with running() as made:
        yield made


async def pids(stack: Stack) -> dict[str, int]:
    return {part: await stack.pid(part) for part in (*PARTS, "supervisord")}


async def test_a_second_up_only_looks(stack: Stack) -> None:
    before = await pids(stack)
    began = time.monotonic()
    said = stack.up()
    # It takes one or two; the rest is what other tests leave for it on a busy machine.
    assert time.monotonic() - began < 6
    assert await pids(stack) == before
    assert said.count("was up") == len(PARTS)


def test_status_tells_the_parts_and_never_the_key(stack: Stack) -> None:
    told = stack.graphyard("status")
    lines = {line.split()[0]: line.split()[1] for line in told.stdout.splitlines() if line.strip()}
    assert {part: lines[part] for part in PARTS} == dict.fromkeys(PARTS, "up")
    for words in (["status"], ["version"], ["up", "--no-example"], ["logs", "api"], ["logs", "worker"]):
        done = stack.graphyard(*words)
        assert stack.api_key not in done.stdout + done.stderr, words


def test_env_opens_the_api_for_whoever_evals_it(stack: Stack) -> None:
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    shell = f'eval "$("$0" -P -m deploy.cli env)"; exec "$0" -c "{show}"'
    python = shutil.which("python", path=stack.env["PATH"])
    assert python is not None
    checkout = str(Path(__file__).parents[2])
    done = subprocess.run(
        ["sh", "-c", shell, python],
        env={**stack.env, "PYTHONPATH": checkout},
        capture_output=True,
        text=True,
        check=True,
    )
    env = json.loads(done.stdout)
    assert env["LANGGRAPH_HOST_URL"].endswith("/api-host")
    answer = httpx.get(
        f"{env['LANGGRAPH_HOST_URL']}/v2/deployments",
        headers={"X-Api-Key": env["LANGGRAPH_HOST_API_KEY"], "X-Tenant-Id": env["LANGSMITH_TENANT_ID"]},
    )
    assert answer.status_code == 200, answer.text
    wrong = httpx.get(f"{env['LANGGRAPH_HOST_URL']}/v2/deployments", headers={"X-Api-Key": "wrong"})
    assert wrong.status_code in (401, 403)


def test_a_role_of_a_deployment_cannot_open_the_records(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_admin_dsn, autocommit=True) as admin:
        admin.execute("create role intruder login password 'intruder'")
        try:
            for database in ("graphyard", "postgres", "template1"):
                dsn = make_conninfo(
                    stack.postgres_admin_dsn, dbname=database, user="intruder", password="intruder"
                )
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    psycopg.connect(dsn)
        finally:
            admin.execute("drop role intruder")


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    ours = {process.pid for process in stack.processes()}
    listening = [one for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    heard = [address.ip for one in listening if one.pid in ours and (address := one.laddr)]
    assert heard
    assert set(heard) <= {"127.0.0.1", "::1"}


def test_secrets_sockets_and_data_are_for_the_owner_alone(stack: Stack) -> None:
    private = [
        stack.home,
        *(stack.home / name for name in ("secrets", "run", "data", "uploads", "etc/specs")),
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o700}
    files = [
        *(stack.home / "secrets").iterdir(),
        *(stack.home / "etc" / "specs").iterdir(),
        stack.home / "stack.json",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_no_secret_of_the_stack_is_in_a_command_line_or_a_log(stack: Stack) -> None:
    known = [
        path.read_text().strip() for path in (stack.home / "secrets").iterdir() if path.name != "sealing.keys"
    ]
    lines = [" ".join(process.cmdline()) for process in stack.processes()]
    texts = [path.read_text(errors="replace") for path in (stack.home / "logs").rglob("*.log")]
    assert len(known) >= 4
    assert not [word for word in known for text in (*lines, *texts) if word in text]


@pytest.mark.parametrize("part", ["api", "worker", "caddy", "temporal", "postgres"])
async def test_a_killed_part_comes_back_by_itself(stack: Stack, part: str) -> None:
    killed = await stack.kill(part)
    async with asyncio.timeout(30):
        while await stack.pid(part) in (0, killed) or stack.graphyard("status", check=False).returncode:
            await asyncio.sleep(0.1)


def test_down_ends_everything_and_what_others_take_meanwhile_moves(stack: Stack) -> None:
    stack.down()
    assert stack.processes() == []
    assert stack.down() == "Nothing was running.\n"
    told = stack.graphyard("status", check=False)
    assert told.returncode == 1
    assert [line.split()[1] for line in told.stdout.splitlines()[1:8]] == ["down"] * 7
    assert "the api does not answer" in told.stdout

    kept = stack.held.ports
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", kept["temporal_ui"]))
        squatter.listen()
        said = stack.up()
    assert f"port {kept['temporal_ui']} of temporal_ui was taken meanwhile; it moves to" in said
    assert {name for name, port in stack.held.ports.items() if port != kept[name]} == {"temporal_ui"}


def test_a_taken_public_port_is_one_sentence_and_leaves_nothing(absent: Stack) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = str(squatter.getsockname()[1])
        done = absent.graphyard("up", "--no-example", check=False, GRAPHYARD_PORT=port)
    assert done.returncode == 1
    assert done.stderr == (
        f"graphyard: Port {port} of 127.0.0.1 is taken by another program: stop it, or choose another port"
        " with GRAPHYARD_PORT=<port>.\n"
    )
    assert not absent.home.exists()


def test_a_running_stack_keeps_its_port_when_the_new_one_is_taken(stack: Stack) -> None:
    url = stack.url
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = str(squatter.getsockname()[1])
        done = stack.graphyard("up", "--no-example", check=False, GRAPHYARD_PORT=port)
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in done.stderr
    assert stack.url == url
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_part_that_cannot_come_up_takes_the_others_down_again(absent: Stack) -> None:
    done = absent.graphyard("up", "--no-example", check=False, GRAPHYARD_SWEEP_SECONDS="soon")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "the whole story is in" in done.stderr
    assert absent.processes() == []


def test_an_interrupted_up_leaves_nothing_running(absent: Stack) -> None:
    up = subprocess.Popen(
        [
            shutil.which("python", path=absent.env["PATH"]) or "",
            "-P",
            "-m",
            "deploy.cli",
            "up",
            "--no-example",
        ],
        env={**absent.env, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    assert "keeper" in up.stdout.readline()
    up.send_signal(signal.SIGTERM)
    _, said = up.communicate(timeout=60)
    assert (up.returncode, said) == (130, "graphyard: interrupted; what had been started is ended again.\n")
    assert absent.processes() == []


def test_commands_without_a_stack_say_what_to_do(absent: Stack) -> None:
    for words in (["status"], ["env"], ["logs", "api"]):
        done = absent.graphyard(*words, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(f"graphyard: There is no stack in {absent.home}: run `graphyard up`")
    assert absent.down() == f"There is no stack in {absent.home}.\n"


def test_two_stacks_side_by_side_share_nothing(stack: Stack, second: Stack) -> None:
    ports = [*stack.held.ports.values(), *second.held.ports.values(), stack.held.port, second.held.port]
    assert len(set(ports)) == len(ports)
    assert stack.api_key != second.api_key
    answer = httpx.get(f"{second.url}/api-host/v2/deployments", headers={"X-Api-Key": stack.api_key})
    assert answer.status_code in (401, 403)
    second.down()
    assert stack.graphyard("status").returncode == 0


def test_a_new_public_port_is_taken_up_and_kept(second: Stack) -> None:
    port = free_port()
    second.graphyard("up", "--no-example", GRAPHYARD_PORT=str(port))
    assert second.url == f"http://127.0.0.1:{port}"
    assert httpx.get(f"{second.url}/health").status_code == 200


def test_a_purge_removes_the_home_and_nothing_else(second: Stack) -> None:
    beside = second.home.parent / "beside"
    beside.write_text("")
    second.graphyard("down", "--purge")
    assert second.processes() == []
    assert not second.home.exists()
    assert beside.exists()
    second.graphyard("down", "--purge")
