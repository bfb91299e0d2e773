"""The command line itself: a trouble is one sentence and a 1, a help is there without a stack."""

import errno
import os

import click
import pytest
from click.testing import CliRunner

from deploy.cli import Verbs, main
from deploy.embedded.troubles import Trouble


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Trouble("It rains: take an umbrella."), 1, "graphyard: It rains: take an umbrella.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "graphyard: The disk is full ([Errno 28] No space left on device): free some space and try"
            " again.\n",
        ),
        (KeyboardInterrupt(), 130, "graphyard: interrupted; what had been started is ended again.\n"),
    ],
)
def test_a_trouble_is_one_sentence(error: BaseException, code: int, said: str) -> None:
    @click.group(cls=Verbs)
    def group() -> None: ...

    @group.command()
    def verb() -> None:
        raise error

    done = CliRunner().invoke(group, ["verb"])
    assert (done.exit_code, done.stderr) == (code, said)


def test_what_nobody_foresaw_keeps_its_traceback() -> None:
    @click.group(cls=Verbs)
    def group() -> None: ...

    @group.command()
    def verb() -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    assert isinstance(CliRunner().invoke(group, ["verb"]).exception, PermissionError)


def test_help_tells_the_owner_s_verbs_and_hides_the_stack_s_own() -> None:
    said = CliRunner().invoke(main, ["--help"]).output
    listed = {line.split()[0] for line in said.partition("Commands:")[2].splitlines() if line.strip()}
    assert {"up", "down", "status", "env", "logs", "version"} <= listed
    assert not {"api", "worker", "migrate"} & listed


def test_version_names_release_and_code() -> None:
    said = CliRunner().invoke(main, ["version"], env=dict(os.environ)).output
    assert said.startswith("graphyard 0.")
    assert len(said.split("(code ")[1]) == len("0123456789abcdef)\n")
