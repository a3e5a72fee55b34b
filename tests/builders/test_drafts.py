"""Reading drafts: each rule of ingot.toml, dependencies, contract and handler, by the field it names."""

from __future__ import annotations

import pytest

from builders.errors import BuildError
from builders.manifest import LIMITS
from builders.plan import read_draft
from builders.requirements import check_python
from tests.builders.drafts import a_draft


def test_the_smallest_draft_has_every_default() -> None:
    plan = read_draft(a_draft(""))
    assert (plan.kind, plan.handler, plan.runtime, plan.streaming) == ("handler", "main:execute", "", False)
    assert plan.limits == {name: rule[0] for name, rule in LIMITS.items()}
    assert (plan.public, plan.body_limit, plan.cors_origins) == (False, 6_000_000, ())


def test_every_key_of_the_manifest_arrives() -> None:
    plan = read_draft(
        a_draft("""
name = "orders"
description = "Adds up"
runtime = "python3.13"
kind = "handler"
handler = "main:execute"
streaming = true
settings = ["REGION", "CURRENCY"]
secrets = ["API_TOKEN"]
public = true
own_authentication = true
unsandboxed_page = true
body_limit = 1000
cors_origins = ["https://b.example", "https://a.example:8443"]
[limits]
memory_mb = 512
timeout_ms = 1000
concurrency = 2
instances = 8
""")
    )
    assert plan.name == "orders"
    assert plan.runtime == "python3.13"
    assert plan.settings == ("CURRENCY", "REGION")
    assert plan.secrets == ("API_TOKEN",)
    assert plan.streaming
    assert plan.public
    assert plan.own_authentication
    assert plan.unsandboxed_page
    assert plan.body_limit == 1000
    assert plan.cors_origins == ("https://a.example:8443", "https://b.example")
    assert plan.limits == {"memory_mb": 512, "timeout_ms": 1000, "concurrency": 2, "instances": 8}


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        ("name = 3", "name"), ('name = "Orders"', "name"), ('name = "a-"', "name"), ('name = "x y"', "name"),
        ('runtime = "python"', "runtime"), ('runtime = "python3.10"', "runtime"),
        ('runtime = "python3.011"', "runtime"), ('runtime = "node22"', "runtime"),
        ("runtime = 3.11", "runtime"),
        ('kind = "cgi"', "kind"), ('handler = "main"', "handler"), ('handler = "a b:c"', "handler"),
        ('handler = "other:execute"', "handler"), ('handler = "main:missing"', "handler"),
        ("streaming = 1", "streaming"), ("public = 'yes'", "public"),
        ("settings = 'A'", "settings"), ("settings = ['a']", "settings[0]"),
        ("settings = ['A', 'A']", "settings"),
        ("settings = ['INGOT_X']", "settings[0]"), ("settings = ['A']\nsecrets = ['A']", "secrets"),
        ("secrets = [1]", "secrets[0]"), ("limits = 3", "limits"), ("[limits]\nmemory = 3", "limits.memory"),
        ("[limits]\nmemory_mb = 63", "limits.memory_mb"), ("[limits]\nmemory_mb = 16385", "limits.memory_mb"),
        ("[limits]\ntimeout_ms = 1.5", "limits.timeout_ms"),
        ("[limits]\nconcurrency = true", "limits.concurrency"),
        ("[limits]\ninstances = 0", "limits.instances"), ("body_limit = 0", "body_limit"),
        ("cors_origins = ['https://a/path']", "cors_origins[0]"), ("cors_origins = 'x'", "cors_origins"),
        ("egress = []", "egress"), ("description = 1", "description"),
    ],
)  # fmt: skip
def test_a_bad_manifest_names_its_field(manifest: str, field: str) -> None:
    with pytest.raises(BuildError) as caught:
        read_draft(a_draft(manifest))
    assert caught.value.code == "manifest_invalid"
    assert caught.value.field == f"ingot.toml:{field}"
    assert f"`{field}`" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"not = = toml", b"\xff\xfe", b"a = " + b"[" * 5_000])
def test_a_manifest_that_is_no_toml_is_refused(content: bytes) -> None:
    with pytest.raises(BuildError) as caught:
        read_draft(a_draft() | {"ingot.toml": content})
    assert (caught.value.code, caught.value.field) == ("manifest_invalid", "ingot.toml")


def test_a_draft_without_a_manifest_is_told_what_to_add() -> None:
    with pytest.raises(BuildError, match=r"has no ingot\.toml") as caught:
        read_draft({"main.py": b""})
    assert caught.value.hint is not None
    assert "ingot.toml" in (caught.value.field or "")


@pytest.mark.parametrize(
    ("path", "source", "kind", "handler"),
    [
        ("main.py", "def execute(input, context):\n ...", "handler", "main:execute"),
        ("handler.py", "async  def execute (input, context):\n ...", "handler", "handler:execute"),
        ("function.py", "def execute(input, context): ...", "handler", "function:execute"),
        ("app.py", "from flask import Flask\napp = Flask(__name__)", "wsgi", "app:app"),
        ("app.py", "import fastapi\nservice: object = fastapi.FastAPI(title='x')", "asgi", "app:service"),
        ("asgi.py", "async def app(scope, receive, send):\n ...", "asgi", "asgi:app"),
        ("wsgi.py", "def application(environ: dict, start_response):\n ...", "wsgi", "wsgi:application"),
        ("main/__init__.py", "def execute(input, context): ...", "handler", "main:execute"),
    ],
)
def test_kind_and_handler_are_found_in_the_code(path: str, source: str, kind: str, handler: str) -> None:
    plan = read_draft({"ingot.toml": b"", path: source.encode()})
    assert (plan.kind, plan.handler) == (kind, handler)


def test_a_named_handler_decides_and_its_kind_is_found() -> None:
    source = b"def execute(input, context): ...\nasync def app(scope, receive, send): ...\n"
    named = {"ingot.toml": b'handler = "pkg.web:app"', "pkg/web.py": source, "main.py": source}
    assert read_draft(named).kind == "asgi"
    assert read_draft({"ingot.toml": b'kind = "asgi"', "main.py": source}).handler == "main:app"


def test_a_star_import_may_bring_the_handler() -> None:
    assert (
        read_draft(a_draft('handler = "main:run"') | {"main.py": b"from lib import *\n"}).handler
        == "main:run"
    )


def test_a_draft_without_an_entry_point_is_told_where_one_is_looked_for() -> None:
    with pytest.raises(BuildError, match=r"main\.py, handler\.py") as caught:
        read_draft({"ingot.toml": b"", "main.py": b"    def execute(input, context): ...\n"})
    assert caught.value.field == "ingot.toml:handler"


def test_requirements_are_brought_into_one_form() -> None:
    plan = read_draft(
        a_draft(
            requirements_txt="Flask_Login >= 1 , <2  # why\n\n# nothing\npandas\\\n==2.2\npandas==2.2\r\n"
        )
    )
    assert plan.requirements == ("flask-login<2,>=1", "pandas==2.2")


def test_pyproject_dependencies_are_read() -> None:
    project = '[project]\nname = "x"\nrequires-python = ">=3.11,<3.13"\ndependencies = ["six>=1"]\n'
    files = a_draft(pyproject_toml=project)
    assert read_draft(files).requirements == ("six>=1",)
    check_python(files, "3.12")
    with pytest.raises(BuildError, match=r"excludes the draft's runtime python3\.13"):
        check_python(files, "3.13")


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("requirements_txt", "-r other.txt", "requirements.txt:1"),
        ("requirements_txt", "six\n--index-url https://evil.example", "requirements.txt:2"),
        ("requirements_txt", "six==1 --hash=sha256:00", "requirements.txt:1"),
        ("requirements_txt", "six @ https://evil.example/six.whl", "requirements.txt:1"),
        ("requirements_txt", "./local", "requirements.txt:1"),
        ("requirements_txt", "git+https://evil.example/x", "requirements.txt:1"),
        ("requirements_txt", "six" * 300, "requirements.txt:1"),
        ("pyproject_toml", "[project]\ndependencies = 'six'", "pyproject.toml:project.dependencies"),
        ("pyproject_toml", "[project]\ndynamic = ['dependencies']", "pyproject.toml:project.dynamic"),
        ("pyproject_toml", "project = 3", "pyproject.toml:project"),
        ("pyproject_toml", "= broken", "pyproject.toml"),
    ],
)
def test_dependencies_that_could_steer_the_resolver_are_refused(name: str, text: str, field: str) -> None:
    with pytest.raises(BuildError) as caught:
        read_draft(a_draft(**{name: text}))
    assert (caught.value.code, caught.value.field) == ("dependencies_invalid", field)


def test_dependencies_in_two_places_are_refused() -> None:
    with pytest.raises(BuildError, match=r"Both requirements\.txt and pyproject\.toml"):
        read_draft(a_draft(requirements_txt="six", pyproject_toml="[project]\ndependencies = ['six']"))


def test_the_contract_arrives() -> None:
    contract = '{"input": {"type": "object", "$defs": {"a": {}}, "$ref": "#/$defs/a"}, "output": true}'
    plan = read_draft(a_draft(contract_json=contract))
    assert plan.input_schema["type"] == "object"
    assert plan.output_schema is True
    assert read_draft(a_draft()).input_schema is None


@pytest.mark.parametrize(
    ("contract", "field"),
    [
        ("[]", "contract.json"), ("{", "contract.json"), ('{"inputs": {}}', "contract.json"),
        ('{"input": {"type": "strin"}}', "contract.json:input/type"),
        ('{"output": 3}', "contract.json:output"),
        ('{"input": {"properties": {"a": {"minimum": "x"}}}}', "contract.json:input/properties/a/minimum"),
        ('{"input": {"$ref": "https://example.org/x"}}', "contract.json:input"),
        ('{"input": {"$ref": "file:///etc/passwd"}}', "contract.json:input"),
        ('{"input": {"$ref": "#/$defs/none"}}', "contract.json:input"),
        ('{"input": {"$schema": "http://json-schema.org/draft-07/schema#"}}', "contract.json:input.$schema"),
        ('{"input": {"$schema": 7}}', "contract.json:input.$schema"),
        ('{"input": {}, "input": {}}', "contract.json"), ('{"input": {"maximum": NaN}}', "contract.json"),
        ('{"input": {"maximum": 9007199254740993}}', "contract.json"),
        ('{"input": {"maximum": 4.750198900361055e+16}}', "contract.json"),
        ('{"input": ' + '{"not":' * 100_000, "contract.json"),
    ],
)  # fmt: skip
def test_a_bad_contract_names_its_place(contract: str, field: str) -> None:
    with pytest.raises(BuildError) as caught:
        read_draft(a_draft(contract_json=contract))
    assert caught.value.code == "contract_invalid"
    assert (caught.value.field or "").startswith(field)
