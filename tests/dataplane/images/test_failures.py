"""What uv said, as it said it, and what a person is told."""

import pytest

from dataplane.images import failures
from workflows.causes import Code

UNSATISFIABLE = """\
error: No solution found when resolving dependencies
  cause: Because shared-lib was not found in the package registry and app==1 depends on shared-lib, we can
         conclude that app==1 cannot be used.
         And because only app==1 is available and you require app, your requirements are unsatisfiable."""
OLDER = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of idna==99.9 and you require idna==99.9, we can
      conclude that your requirements are unsatisfiable."""
BACKEND = """\
error: Failed to build `broken @ file:///x`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta.build_editable` failed (exit status: 1)

         [stderr]
         Traceback (most recent call last):
         RuntimeError: boom in setup"""
AWAY = """\
error: Request failed after 3 retries in 1.5s
  cause: Failed to fetch: https://registry.example/simple/idna/
  cause: error sending request for url (https://registry.example/simple/idna/)
  cause: dns error
  cause: failed to lookup address information: Name or service not known"""
DENIED = """\
error: Failed to fetch: https://registry.example/simple/idna/
  cause: HTTP status client error (401 Unauthorized) for url (https://registry.example/simple/idna/)"""
FULL = """\
error: Failed to install: numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.whl
  cause: failed to write to file `/x`
  cause: No space left on device (os error 28)"""
GIT = """\
   Updating https://git.example/six (1.16.0)
error: Failed to download and build `six @ git+https://git.example/six@1.16.0`
  cause: Git operation failed
  cause: failed to fetch branch or tag `1.16.0`
         fatal: couldn't find remote ref 1.16.0"""
HASH = """\
error: Failed to download `idna==3.10`
  cause: Hash mismatch for `idna==3.10`

         Expected: sha256:00
         Computed: sha256:11"""


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (
            UNSATISFIABLE,
            Code.RESOLUTION_FAILED,
            "resolve shared-lib: Because shared-lib was not found",
        ),
        (OLDER, Code.RESOLUTION_FAILED, "Could not resolve idna: Because there is no version of idna==99.9"),
        (BACKEND, Code.INSTALL_FAILED, "Could not install broken @ file:///x: RuntimeError: boom in setup."),
        (AWAY, Code.REGISTRY_UNREACHABLE, "Name or service not known"),
        (DENIED, Code.REGISTRY_UNREACHABLE, "refuses access: HTTP status client error (401"),
        (FULL, Code.DISK_FULL, "disk of this machine is full"),
        (GIT, Code.INSTALL_FAILED, "Could not install six @ git+https://git.example/six@1.16.0: fatal"),
        ("", Code.RESOLUTION_FAILED, "no reason was given"),
    ],
)
def test_tells_why_nothing_was_resolved(said: str, code: Code, told: str) -> None:
    cause = failures.of_resolving(said.splitlines()).cause
    assert (cause.code, told in cause.message) == (code, True), cause.message
    assert len(cause.message) < 800
    assert "\n" not in cause.message


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (BACKEND, Code.INSTALL_FAILED, "Could not install broken"),
        (HASH, Code.INSTALL_FAILED, "Could not install idna==3.10"),
        (AWAY, Code.REGISTRY_UNREACHABLE, "cannot be reached"),
        (FULL, Code.DISK_FULL, "full"),
        ("", Code.INSTALL_FAILED, "no reason was given"),
    ],
)
def test_tells_why_nothing_was_installed(said: str, code: Code, told: str) -> None:
    cause = failures.of_installing(said.splitlines()).cause
    assert (cause.code, told in cause.message) == (code, True), cause.message
