"""Settings come from variables, secrets also from files that variables name; nothing of them is ever shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

import temporal
from cluster_settings import KubernetesSettings
from settings import Settings, UploadStore
from workflows.shapes import PlaneKind


def test_an_embedded_stack_has_one_plane_of_its_own() -> None:
    settings = Settings()
    assert (dict(settings.kinds), settings.usual_plane) == ({"local": PlaneKind.LOCAL}, "local")
    assert (settings.api_listen, settings.upload_store) == ("", UploadStore.HOME)
    assert temporal.tls(settings) is False


def test_secrets_come_from_files_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql://somewhere/records\n")
    (tmp_path / "tokens").write_text('{"here": "a", "there": "b"}\n')
    monkeypatch.setenv("GRAPHYARD_DATABASE_URL_FILE", str(tmp_path / "dsn"))
    monkeypatch.setenv("GRAPHYARD_PLANE_TOKENS_FILE", str(tmp_path / "tokens"))
    settings = Settings()
    assert settings.database_url.get_secret_value() == "postgresql://somewhere/records"
    assert {name: token.get_secret_value() for name, token in settings.plane_tokens.items()} == {
        "here": "a",
        "there": "b",
    }
    monkeypatch.setenv("GRAPHYARD_DATABASE_URL", "postgresql://elsewhere/records")
    assert Settings().database_url.get_secret_value() == "postgresql://elsewhere/records"


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHYARD_PLANE_TOKEN_FILE", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError):
        Settings()


@pytest.mark.parametrize("tokens", ['{"a": "hush", "b": "hush"}', '{"a": ""}'])
def test_tokens_of_planes_are_their_own(monkeypatch: pytest.MonkeyPatch, tokens: str) -> None:
    monkeypatch.setenv("GRAPHYARD_PLANE_TOKENS", tokens)
    with pytest.raises(ValidationError, match="token of its own") as refused:
        Settings()
    assert "hush" not in str(refused.value)


def test_several_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHYARD_PLANES", '{"east": "kubernetes", "desk": "local"}')
    settings = Settings()
    assert settings.kinds["east"] is PlaneKind.KUBERNETES
    assert settings.usual_plane == "east", "the usual plane is one that there is"
    monkeypatch.setenv("GRAPHYARD_PLANE", "desk")
    assert Settings().usual_plane == "desk"


def test_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hush")
    monkeypatch.setenv("GRAPHYARD_KUBERNETES_REGISTRY_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("GRAPHYARD_KUBERNETES_SERVER_IMAGES", '{"pg-3.11": "registry/server:1"}')
    monkeypatch.setenv("GRAPHYARD_KUBERNETES_DATABASE_MODE", "dedicated")
    settings = KubernetesSettings()
    assert settings.registry_password.get_secret_value() == "hush"
    assert settings.server_images == {"pg-3.11": "registry/server:1"}
    assert settings.database_mode == "dedicated"
    assert "hush" not in repr(settings)


def test_temporal_may_ask_who_we_are(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_bytes(name.encode())
    ours = Settings(
        temporal_tls_ca=tmp_path / "ca",
        temporal_tls_cert=tmp_path / "cert",
        temporal_tls_key=tmp_path / "key",
        temporal_tls_server_name="temporal.internal",
    )
    tls = temporal.tls(ours)
    assert not isinstance(tls, bool)
    assert (tls.server_root_ca_cert, tls.client_cert, tls.client_private_key) == (b"ca", b"cert", b"key")
    assert tls.domain == "temporal.internal"
    assert temporal.tls(Settings(temporal_api_key=SecretStr("a key of Temporal Cloud"))) is True
    with pytest.raises(ValueError, match="belong together"):
        temporal.tls(Settings(temporal_tls_cert=tmp_path / "cert"))
