"""What `make run` makes of the environment, prints of a frame, and does beside another one."""

from pathlib import Path

import pytest

from chalicelib.domain.errors import ConfigurationError
from local import run, terminal
from local.stack import StackError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "DATABASE_URL", "AWS_ENDPOINT_URL", *run.PARAMETERS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "given", [{}, {"DATABASE_URL": "", "AWS_ENDPOINT_URL": "", "PORT": ""}], ids=["unset", "empty"]
)
def test_everything_is_embedded_by_default(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    plan = run.plan()
    assert (plan.port, plan.aws_port) == (3000, 4566)
    assert (plan.database_url, plan.aws_endpoint, plan.parameters) == (None, None, {})


def test_the_environment_replaces_parts_and_sets_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "3100")
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/orders")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4567/")
    monkeypatch.setenv("VENUE_TIME_SCALE", "0")
    plan = run.plan()
    assert plan.port == 3100
    assert (plan.database_url, plan.aws_endpoint) == ("postgresql://elsewhere/orders", "http://127.0.0.1:4567")
    assert plan.parameters == {"VenueTimeScale": "0"}


@pytest.mark.parametrize("port", ["abc", "0", "-1", "65536", "3000.0"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PORT", port)
    with pytest.raises(StackError, match="PORT"):
        run.plan()


@pytest.mark.parametrize(("name", "value"), [("MARKET", "pool"), ("MIDDLE_TOKENS", "SOL,USDCC")])
def test_a_setting_that_the_functions_would_refuse_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        run.plan()


def test_a_second_run_is_told_who_runs(tmp_path: Path) -> None:
    with run.alone(tmp_path):
        with pytest.raises(run.AlreadyRunning, match="already running here, and not ready"), run.alone(tmp_path):
            pass
        (tmp_path / "stack.json").write_text('{"url": "http://127.0.0.1:3000", "pids": {"stack": 42}}')
        with pytest.raises(run.AlreadyRunning, match="process 42 serves"), run.alone(tmp_path):
            pass
    # One that was killed left its note; whoever has the lock now is not ready.
    with run.alone(tmp_path), pytest.raises(run.AlreadyRunning, match="not ready"), run.alone(tmp_path):
        pass


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ({"error": "unknown order", "code": "unknown_order"}, "unknown order"),
        ({"status": "submitted", "meta": {"dex": "Raydium"}, "ts": "2026-01-02T03:04:05.678Z"}, "dex Raydium"),
        (
            {
                "status": "building",
                "meta": {"route": {"chosen": {"dex": "Meteora", "price": 2}, "decision": "it is better"}},
                "ts": "2026-01-02T03:04:05.678Z",
            },
            "Meteora at 2: it is better",
        ),
    ],
)
def test_a_frame_is_one_line(frame: dict[str, object], told: str) -> None:
    line = terminal.frame_line(frame)
    assert line.endswith(told)
    assert "\n" not in line


def test_a_step_is_named_while_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.step("aws"):
        assert capsys.readouterr().out.split() == ["aws"]
    assert capsys.readouterr().out.endswith(" s\n")


def test_what_is_said_of_a_step_that_failed_begins_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StackError), terminal.step("aws"):
        raise StackError
    assert capsys.readouterr().out.endswith("aws          \n")
