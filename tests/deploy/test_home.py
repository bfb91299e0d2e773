"""A home: which directories may be one, what is private in it, what may be removed."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from deploy.embedded.home import CHECKOUT, CLOSED, Home
from deploy.embedded.troubles import Trouble


def test_the_environment_names_it_and_the_checkout_is_the_default(tmp_path: Path) -> None:
    assert Home.of({}).root == CHECKOUT / ".graphyard"
    assert Home.of({"GRAPHYARD_HOME": str(tmp_path / "x" / ".." / "y")}).root == tmp_path / "y"
    assert Home.of({"GRAPHYARD_HOME": "~/yard"}).root == Path("~/yard").expanduser()


def test_nobody_else_can_look_into_it(home: Home) -> None:
    home.check()
    home.make()
    for private in (home.root, *(home.root / part for part in CLOSED)):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700, private


def test_too_long_a_home_is_refused_with_both_lengths(tmp_path: Path) -> None:
    long = Home(tmp_path / ("x" * 80))
    with pytest.raises(Trouble, match=r"is \d+ characters long .* at most 80: set GRAPHYARD_HOME"):
        long.check()


@pytest.mark.parametrize("odd", ["%", "{a}", "a*", "a?", "#1", 'a"b', "a;b", "a\\b", "$HOME", "a\nb"])
def test_a_path_that_would_mean_something_to_a_part_is_refused(home: Home, odd: str) -> None:
    with pytest.raises(Trouble, match=r"has '.*' in its path, .* to a plainer path"):
        Home(home.root.parent / odd).check()


def test_a_directory_with_other_things_in_it_is_refused(home: Home) -> None:
    home.root.mkdir()
    (home.root / "thesis.txt").write_text("years of work")
    with pytest.raises(Trouble, match="holds other things than a stack"):
        home.check()
    with pytest.raises(Trouble, match="does not look like a stack's home and is left alone"):
        home.check_purgeable()


def test_an_empty_directory_may_become_one(home: Home) -> None:
    home.root.mkdir()
    home.check()


def test_a_place_below_a_file_is_refused(home: Home) -> None:
    home.root.parent.joinpath("file").write_text("")
    with pytest.raises(Trouble, match=r"cannot be written \(.*/file does not let you\): set GRAPHYARD_HOME"):
        Home(home.root.parent / "file" / "home").check()


def test_a_place_without_the_right_to_write_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Trouble, match=r"cannot be written \(.* does not let you\): set GRAPHYARD_HOME"):
        home.check()


def test_a_disk_that_refuses_after_all_is_told() -> None:
    # Root may write anywhere, it is told; not below /proc.
    with pytest.raises(Trouble, match="The home /proc/graphyard cannot be written"):
        Home(Path("/proc/graphyard")).make()


def test_somebody_elses_home_is_refused_by_both_names(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.make()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 12345)
    for check in (home.check, home.check_owner, home.check_purgeable):
        with pytest.raises(Trouble, match=rf"belongs to .* and you are user {owner + 12345}: run this as"):
            check()


def test_a_full_disk_is_told_in_megabytes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=499 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Trouble, match=r"has 499 MB left and a stack needs 500 MB to start: free some space"):
        home.check()


def test_a_purge_removes_read_only_images_too(home: Home) -> None:
    home.make()
    image = home.root / "images" / "abc" / "source"
    image.mkdir(parents=True)
    (image / "agent.py").write_text("")
    image.chmod(0o555)
    image.parent.chmod(0o555)
    home.check_purgeable()
    home.purge()
    assert not home.root.exists()


def test_a_purge_follows_no_links_out_of_the_home(home: Home) -> None:
    home.make()
    outside = home.root.parent / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").write_text("")
    (home.root / "images" / "link").symlink_to(outside)
    home.purge()
    assert (outside / "kept").exists()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
