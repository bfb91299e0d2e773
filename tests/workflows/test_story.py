"""The lines that a rollout shows of itself."""

from datetime import UTC, datetime, timedelta

from workflows.story import Story

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_steps_side_by_side_and_an_end() -> None:
    story = Story("Revision 3 of agent on plane local")
    assert str(story) == "**Revision 3 of agent on plane local**"
    story.begin("build", at(0))
    story.begin("provision", at(0.5))
    assert str(story).splitlines()[2:] == ["- ▶ build", "- ▶ provision"]
    story.done("provision", at(0.75))
    story.broke("build", at(61))
    story.end("**BUILD_FAILED**: could not resolve X.")
    assert str(story).splitlines()[2:] == [
        "- ✘ build (61.0 s)",
        "- ✔ provision (0.2 s)",
        "",
        "**BUILD_FAILED**: could not resolve X.",
    ]


def test_a_step_begun_again_is_one_line() -> None:
    story = Story("title")
    story.begin("discard", at(0))
    story.broke("discard", at(1))
    story.begin("discard", at(2))
    assert str(story).splitlines()[2:] == ["- ▶ discard"]
