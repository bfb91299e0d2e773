"""Which Python a project is built on."""

import pytest
from packaging.specifiers import SpecifierSet

from dataplane.kubernetes.images.pythons import choose
from workflows.causes import Code, Refused
from workflows.shapes import Flavour

THERE = ("pg-3.11", "pg-3.12", "pg-3.9", "inmem-3.13")


@pytest.mark.parametrize(
    ("declared", "needs", "chosen"),
    [
        (None, "", "3.12"),
        ("3.11", "", "3.11"),
        (None, "<3.12", "3.11"),
        (None, ">=3.11.4,<3.12", "3.11"),
        (None, "==3.9.*", "3.9"),
        ("3.11", ">=3.11.30", "3.11"),
    ],
)
def test_the_declared_or_the_newest_that_fits(declared: str | None, needs: str, chosen: str) -> None:
    assert choose(Flavour.PG, declared, SpecifierSet(needs), THERE) == chosen


@pytest.mark.parametrize(
    ("flavour", "declared", "needs", "says"),
    [
        (Flavour.PG, "3.13", "", "it has 3.12, 3.11, 3.9"),
        (Flavour.PG, None, ">=3.13", "needs Python >=3.13"),
        (Flavour.PG, "3.11", ">=3.12", "needs Python >=3.12"),
        (Flavour.INMEM, "3.11", "", "it has 3.13"),
        (Flavour.IMAGE, None, "", "which this plane's 'image' servers (none) are not"),
    ],
)
def test_what_no_image_is_there_for(flavour: Flavour, declared: str | None, needs: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        choose(flavour, declared, SpecifierSet(needs), THERE)
    assert refused.value.cause.code is Code.PYTHON_UNAVAILABLE
    assert says in refused.value.cause.message
    assert refused.value.cause.fix
