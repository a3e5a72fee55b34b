"""What is built, and when it is built anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from knative.bootstrap import eventing, modules, serving
from knative.bootstrap.modules import HELM, MODULES, Binary, Module, build_key, link_flags, required_version

_FOLDER = Path(modules.__file__).parent / "modules"
_MODULE = Module("tool", (Binary("tool"),), {}, reports="example.dev/tool")
_SOURCES = {"go.mod": b"module x\n\nrequire example.dev/tool v1.35.4\n", "main.go": b"package main"}


def test_a_build_is_known_by_all_that_changes_it() -> None:
    keys = {
        build_key(_MODULE, _SOURCES, "go1.26"),
        build_key(_MODULE, _SOURCES, "go1.27"),
        build_key(_MODULE, {**_SOURCES, "main.go": b"package main "}, "go1.26"),
        build_key(_MODULE, {**_SOURCES, "go.sum": b"h1:x"}, "go1.26"),
        build_key(_MODULE, {**_SOURCES, "go.mod": _SOURCES["go.mod"].replace(b".4", b".5")}, "go1.26"),
        build_key(Module("tool", (Binary("tool", "./cmd"),), {}, "example.dev/tool"), _SOURCES, "go1.26"),
    }
    assert len(keys) == 6
    assert build_key(_MODULE, dict(reversed(_SOURCES.items())), "go1.26") in keys


def test_a_program_reports_the_version_that_its_module_requires() -> None:
    flags = link_flags(_MODULE, _SOURCES["go.mod"].decode())
    assert "-X k8s.io/component-base/version.gitVersion=v1.35.4" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=35" in flags
    assert link_flags(Module("x", (), {}), "") == "-s -w"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("require example.dev/tool v1.2.3", "v1.2.3"),
        ("require (\n\texample.dev/other v9.0.0\n\texample.dev/tool v1.2.3 // indirect\n)", "v1.2.3"),
    ],
)
def test_a_required_version_is_read_from_either_form(text: str, version: str) -> None:
    assert required_version(text, "example.dev/tool") == version


def test_a_module_that_is_not_required_has_no_version() -> None:
    with pytest.raises(ValueError, match=r"example\.dev/tool"):
        required_version("require example.dev/tool/v2 v2.0.0", "example.dev/tool")


@pytest.mark.parametrize("module", [*MODULES, HELM], ids=lambda module: module.name)
def test_every_module_pins_what_it_builds(module: Module) -> None:
    text = (_FOLDER / module.name / "go.mod").read_text()
    sources = "".join(path.read_text() for path in (_FOLDER / module.name).glob("*.go"))
    for binary in module.binaries:
        # Other modules' commands are named in the sources, so that tidying keeps what they need.
        assert binary.package == "." or f'"{binary.package}"' in sources
    for path in (*module.manifests, *([module.reports] if module.reports else [])):
        assert re.fullmatch(r"v\d+\.\d+\.\d+(-[\w.-]+)?", required_version(text, path))
    if "require" in text:
        assert (_FOLDER / module.name / "go.sum").stat().st_size > 0


def test_every_program_of_knative_is_built() -> None:
    built = {binary.package: binary.name for module in MODULES for binary in module.binaries}
    assert {**serving.PROGRAMS, **eventing.PROGRAMS}.items() <= built.items()
