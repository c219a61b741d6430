"""That each numbered behaviour of the service, E1 to E51, has a test: their names are the list."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
NUMBERED = re.compile(r"test_e(\d\d)_[a-z]\w*")


def named():
    """The names of the numbered tests, by their number."""
    found = {}
    for path in HERE.glob("test_emulator*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (number := NUMBERED.fullmatch(node.name)):
                found.setdefault(int(number[1]), []).append(node.name)
    return found


def test_each_of_the_fifty_one_lines_has_a_test_that_names_it():
    assert sorted(named()) == list(range(1, 52))


def test_one_scheme_of_names():
    odd = [
        node.name
        for path in HERE.glob("test_emulator*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and re.match(r"test_e\d", node.name)
        and not NUMBERED.fullmatch(node.name)
    ]
    assert odd == []
