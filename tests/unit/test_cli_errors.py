"""What a newcomer reads when something goes wrong: a place in their own file, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from control_plane.cli.failures import ApiProblem, ExitCode, Failure
from control_plane.cli.lazy import LazyCommand, LazyGroup
from control_plane.cli.machine import nearest_data
from control_plane.cli.profiles import Profile
from control_plane.cli.records import failure_lines, record_lines

TRACEBACK = """Traceback (most recent call last):
  File "/function/main.py", line 2, in execute
    return helper.total(input)
  File "/function/parts/helper.py", line 7, in total
    return input["x"]
KeyError: 'x'"""


def test_a_record_with_a_traceback_names_the_author_s_innermost_line() -> None:
    record = {"level": "error", "message": "The handler raised.", "fields": {"traceback": TRACEBACK}}
    first, *rest = record_lines(record)
    assert first.endswith("The handler raised.  parts/helper.py:7")
    assert '      File "main.py", line 2, in execute' in rest
    assert not any("/function/" in line for line in rest)


def test_a_message_of_several_lines_keeps_them() -> None:
    lines = list(
        record_lines({"level": "info", "message": 'one\n  File "/function/a.py", line 3\ntwo\x1b[0m'})
    )
    assert lines == ["INFO     one", '      File "a.py", line 3', "    two [0m"]


def test_code_that_does_not_load_is_told_by_its_place_and_what_to_do() -> None:
    message = (
        '  File "/function/main.py", line 1\n    def execute(\n               ^\nSyntaxError: never closed'
    )
    lines = list(failure_lines("import_failed", message))
    assert lines[0] == "import_failed  main.py:1"
    assert "    SyntaxError: never closed" in lines
    assert not any(line.startswith("Hint: ") for line in lines), "Python's own words say it"
    missing = list(failure_lines("import_failed", "ModuleNotFoundError: No module named 'pandas'"))
    assert "requirements.txt" in missing[-1]
    assert list(failure_lines("out_of_memory", "too much"))[-1].startswith("Hint: Raise `memory_mb`")


def test_a_fault_of_the_contract_says_what_is_wrong() -> None:
    body = {
        "detail": "The input breaks the function's contract.",
        "code": "input_invalid",
        "errors": [{"pointer": "/nam", "message": "is not allowed here"}],
    }
    problem = ApiProblem(422, body)
    assert problem.details == ("/nam: is not allowed here",)
    assert "contract" in problem.hint


def test_an_answer_without_a_hint_gets_the_one_of_its_code() -> None:
    problem = ApiProblem(404, {"detail": "Nothing is released here.", "code": "no_such_function"})
    assert "ingot release status" in problem.hint
    assert not ApiProblem(500, {"detail": "Odd.", "code": "never_heard_of"}).hint
    assert ApiProblem(404, {"hint": "Its own.", "code": "no_such_function"}).hint == "Its own."


def test_a_refused_release_s_hint_is_that_of_its_reason() -> None:
    sentence = "Version 1 has 0 of 1 valid approvals."
    body = {
        "detail": f"The release is refused: {sentence}",
        "code": "release_refused",
        "errors": [{"pointer": "approval_missing", "detail": sentence}],
        "hint": "`errors` names each reason.",
    }
    problem = ApiProblem(409, body)
    assert "ingot submit" in problem.hint
    assert problem.details == (), "it is said once"


@pytest.mark.parametrize(("typed", "meant"), [("frezze", "freeze"), ("realease", "release")])
def test_a_mistyped_command_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    table = {name: LazyCommand("json", "dumps", name) for name in ("freeze", "release", "_run")}
    result = CliRunner().invoke(LazyGroup("ingot", lazy=table), [typed])
    assert (result.exit_code, f"Did you mean {meant}?" in result.output) == (2, True), result.output


def test_commands_of_the_machine_find_its_data_from_a_function_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "hello" / "parts"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert nearest_data() == Path(".ingot")
    (tmp_path / ".ingot" / "keys").mkdir(parents=True)
    assert nearest_data() == tmp_path / ".ingot"
    monkeypatch.chdir(tmp_path)
    assert nearest_data() == Path(".ingot")


def test_an_address_without_a_scheme_is_a_mistake_of_use() -> None:
    from control_plane.cli.client import Client

    with pytest.raises(Failure, match="does not begin with http") as refused:
        Client(Profile(url="localhost:8080"))
    assert refused.value.exit_code == ExitCode.USAGE
