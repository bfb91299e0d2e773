"""The parts as values: nothing secret on a command line, nothing of a shell's keys in an environment."""

import signal
from pathlib import Path

import pytest

from dataplane.local.programs import Program
from deploy.embedded import parts, secrets
from deploy.embedded.home import Home
from deploy.embedded.ports import INTERNAL, Stack
from deploy.embedded.secrets import Secrets
from deploy.embedded.troubles import Trouble
from settings import Settings
from workflows.names import SEARCH_ATTRIBUTES

KNOWN = Secrets(postgres_admin="admin-word", postgres_records="records-word", plane_token="plane-word")
STACK = Stack(port=5000, ports={name: 20_001 + index for index, name in enumerate(INTERNAL)})
WORDS = ("admin-word", "records-word", "plane-word")


@pytest.fixture
def programs(home: Home) -> dict[str, Program]:
    env = parts.settings(home, STACK, KNOWN)
    all_of_them = [
        parts.postgres(home, STACK, Path("/pg"), ["unshare", "--"]),
        parts.temporal(home, STACK, Path("/bin")),
        parts.api(home, STACK, env),
        parts.worker(home, STACK, env),
        parts.caddy(home, Path("/bin"), "{}"),
        parts.keeper(home),
    ]
    return {program.name: program for program in all_of_them}


def test_no_secret_is_in_a_command_line_or_a_conf(programs: dict[str, Program]) -> None:
    for program in programs.values():
        shown = " ".join(program.argv) + program.conf(Path("/spec.json"))
        assert not [word for word in WORDS if word in shown], program.name


def test_only_api_and_worker_know_the_databases(programs: dict[str, Program]) -> None:
    knowing = {name for name, program in programs.items() if any(word in program.spec() for word in WORDS)}
    assert knowing == {"api", "worker"}


def test_the_settings_are_the_ones_that_settings_read(home: Home) -> None:
    given = parts.settings(home, STACK, KNOWN)
    known = {f"GRAPHYARD_{name.upper()}" for name in Settings.model_fields}
    assert set(given) <= known
    assert Settings.model_config["env_prefix"] == "GRAPHYARD_"


def test_postgres_ends_fast_and_keeps_its_death_signal_as_root(programs: dict[str, Program]) -> None:
    program = programs["postgres"]
    assert (program.stop_signal, program.death_signal) == ("INT", signal.SIGINT)
    # unshare comes before the launcher: changing ids after it would clear the signal.
    command = next(line for line in program.conf(Path("/spec")).splitlines() if line.startswith("command="))
    assert command.startswith("command=unshare -- ")


def test_the_keeper_outlives_its_supervisord(programs: dict[str, Program]) -> None:
    assert programs["keeper"].death_signal == 0
    assert all(program.death_signal for name, program in programs.items() if name != "keeper")


def test_temporal_knows_every_search_attribute(programs: dict[str, Program]) -> None:
    argv = programs["temporal"].argv
    assert [argv[i + 1] for i, word in enumerate(argv) if word == "--search-attribute"] == [
        f"{attribute.name}=Keyword" for attribute in SEARCH_ATTRIBUTES
    ]


def test_a_changed_gateway_is_a_changed_program(home: Home) -> None:
    one, other = (parts.caddy(home, Path("/bin"), config) for config in ("{}", '{"a": 1}'))
    assert one.spec() != other.spec()


@pytest.mark.parametrize(
    ("name", "through"),
    [
        ("PATH", True),
        ("HOME", True),
        ("https_proxy", True),
        ("PIP_INDEX_URL", True),
        ("UV_INDEX_URL", True),
        ("SSL_CERT_FILE", True),
        ("GRAPHYARD_SWEEP_SECONDS", True),
        ("GRAPHYARD_PORT", False),
        ("OPENAI_API_KEY", False),
        ("AWS_SECRET_ACCESS_KEY", False),
        ("LANGSMITH_API_KEY", False),
        ("LANGGRAPH_HOST_API_KEY", False),
        ("PYTHONPATH", False),
        ("VIRTUAL_ENV", False),
        ("LD_PRELOAD", False),
    ],
)
def test_what_of_a_shell_the_parts_may_see(name: str, through: bool) -> None:
    assert (name in parts.passed({name: "value"})) is through


def test_secrets_are_made_once_and_are_private(home: Home) -> None:
    home.make()
    first = secrets.settle(home)
    assert secrets.settle(home) == first
    assert len({first.postgres_admin, first.postgres_records, first.plane_token}) == 3
    made = list((home.root / "secrets").iterdir())
    assert len(made) == 4
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}


@pytest.mark.parametrize("lost", ["sealing.keys", "postgres-admin.password", "postgres-records.password"])
def test_a_lost_secret_is_not_made_anew_beside_the_data_it_opened(home: Home, lost: str) -> None:
    home.make()
    secrets.settle(home)
    home.postgres.mkdir()
    home.initialised.touch()
    secrets.settle(home)
    (home.root / "secrets" / lost).unlink()
    with pytest.raises(Trouble, match=rf"{lost} is gone, and without it nobody can open .* put it back"):
        secrets.settle(home)
    assert not (home.root / "secrets" / lost).exists()
