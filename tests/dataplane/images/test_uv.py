"""Where packages come from: what the machine, a project's pip settings and its requirements say."""

from pathlib import Path

import pytest

from dataplane.images.uv import ambient, registry_in, registry_of
from workflows.causes import Code, Refused

CONF = """\
[global]
index-url = https://me:hush@a.example/simple
extra_index_url =
    https://b.example/simple
    https://c.example/simple
[install]
find-links = ./wheels /opt/wheels
trusted-host = a.example b.example
no-index = true
"""


def test_reads_pip_settings() -> None:
    assert registry_of(CONF.encode(), "pip.conf") == {
        "UV_DEFAULT_INDEX": "https://me:hush@a.example/simple",
        "UV_INDEX": "https://b.example/simple https://c.example/simple",
        "UV_FIND_LINKS": "./wheels,/opt/wheels",
        "UV_INSECURE_HOST": "a.example b.example",
        "--no-index": "1",
    }


@pytest.mark.parametrize("text", [b"index-url = x\n", b"\xff\xfe", b"[global]\nno index\n"])
def test_refuses_what_is_no_pip_configuration_without_showing_it(text: bytes) -> None:
    with pytest.raises(Refused, match="is not a pip configuration file") as refused:
        registry_of(text, "pip.conf")
    assert refused.value.cause.code == Code.CONFIG_INVALID


def test_reads_options_of_requirements() -> None:
    text = "idna\n-i https://a.example\n--extra-index-url=https://b.example\n"
    text += "--extra-index-url 'https://c.example'\n-f w\n"
    assert registry_in(text) == {
        "UV_DEFAULT_INDEX": "https://a.example",
        "UV_INDEX": "https://b.example https://c.example",
        "UV_FIND_LINKS": "w",
    }


def test_takes_the_index_that_pip_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    conf = tmp_path / ".config" / "pip" / "pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(CONF)
    assert ambient()["UV_DEFAULT_INDEX"] == "https://me:hush@a.example/simple"
    assert "UV_INDEX" not in ambient()
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example")
    assert ambient() == {"UV_DEFAULT_INDEX": "https://env.example"}
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example")
    assert ambient() == {}
