"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest

from tests.house.sources import module_name, source_files

WITH_EXAMPLES = [module_name(file) for file in source_files() if ">>> " in file.read_text("utf-8")]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_of_docstrings(module):
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted and not done.failed
