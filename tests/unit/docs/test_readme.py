"""README.md's examples are made of things that exist; tests/e2e runs them."""

import re

from tests.support.readme import ROOT, blocks

PROGRAMS = {"make", "export", "kvstorectl", "kvstore", "etcdctl", "curl"}
_ASSIGNED = re.compile(r"^\w+=(\$\(|[\w.:,]+$)")


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in blocks()} == {"text", "sh", "python"}


def test_every_shell_line_starts_a_program_that_the_reader_has() -> None:
    shell = "".join(block.text for block in blocks() if block.language == "sh")
    commands = [_ASSIGNED.sub("", line) for line in shell.splitlines()]
    assert {command.split()[0] for command in commands if command} <= PROGRAMS


def test_every_make_target_that_documents_name_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named: set[str] = set()
    for document in ("README.md", "CONTRIBUTING.md", "tests/README.md"):
        named |= set(re.findall(r"`make ([a-z-]+)", (ROOT / document).read_text()))
    assert named
    assert named - targets == set()


def test_the_python_examples_compile() -> None:
    examples = [block.text for block in blocks() if block.language == "python"]
    assert examples
    for example in examples:
        compile(example, "README.md", "exec")
