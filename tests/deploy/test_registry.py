"""What pip was told of registries, uv is told too; what the environment says stands."""

from pathlib import Path

import pytest

from deploy.embedded.registry import pip_settings, registry


@pytest.fixture
def told(tmp_path: Path) -> dict[str, str]:
    """An environment whose pip has a file of its own."""
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/simple\ncert=/etc/company.pem\n")
    return {"PIP_CONFIG_FILE": str(config), "HOME": str(tmp_path)}


def test_index_and_authority_come_over(told: dict[str, str]) -> None:
    assert registry(told) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "SSL_CERT_FILE": "/etc/company.pem",
    }


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_an_index_in_the_environment_wins(told: dict[str, str], name: str) -> None:
    assert "UV_DEFAULT_INDEX" not in registry({**told, name: "https://other.example"})


def test_an_authority_in_the_environment_wins(told: dict[str, str]) -> None:
    assert "SSL_CERT_FILE" not in registry({**told, "SSL_CERT_FILE": "/etc/mine.pem"})
    assert registry({**told, "PIP_CERT": "/etc/pips.pem"})["SSL_CERT_FILE"] == "/etc/pips.pem"


def test_the_user_s_file_wins_over_the_older_place_and_the_install_section_over_all(tmp_path: Path) -> None:
    older, newer = tmp_path / ".pip", tmp_path / ".config" / "pip"
    for directory, text in (
        (older, "[global]\nindex_url = https://older.example\n"),
        (
            newer,
            "[global]\nindex-url = https://newer.example\n[install]\nindex-url = https://install.example\n",
        ),
    ):
        directory.mkdir(parents=True)
        (directory / "pip.conf").write_text(text)
    assert pip_settings({"HOME": str(tmp_path)})["index-url"] == "https://install.example"


@pytest.mark.parametrize("text", ["no section", "[global\n", "[global]\n\xff", ""])
def test_a_file_that_pip_could_not_read_either_is_passed_over(tmp_path: Path, text: str) -> None:
    config = tmp_path / "pip.conf"
    config.write_bytes(text.encode("latin-1"))
    of_the_machine = registry({"HOME": str(tmp_path)})
    assert registry({"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}) == of_the_machine


def test_no_files_means_no_files(told: dict[str, str]) -> None:
    assert registry({**told, "PIP_CONFIG_FILE": "/dev/null"}) == {}
