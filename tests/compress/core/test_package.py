"""The package's front door costs nothing to open, and everything in `__all__` is behind it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import compress
from compress.core.families.family import CHANGED_PREFIX, stock_type
from compress.core.layers import changed


def test_importing_compress_imports_nothing_heavy():
    code = "import sys, compress; print(sorted({'torch', 'transformers', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_of_all_is_there():
    assert dir(compress) == sorted(compress.__all__)
    for name in compress.__all__:
        assert getattr(compress, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'prune_it'"):
        _ = compress.prune_it


def test_the_copied_file_and_the_records_agree_on_the_prefix():
    assert changed.PREFIX == CHANGED_PREFIX
    assert stock_type("trimformer_xlm-roberta") == "xlm-roberta"
    assert stock_type("bert") == "bert"


def test_changed_classes_are_made_once_and_keep_their_names():
    assert changed.BertModel is changed.BertModel
    assert changed.BertModel.__name__ == "BertModel"
    assert changed.BertModel.config_class is changed.BertConfig
    for name in ("BertModle", "pipeline", "_private"):
        with pytest.raises(AttributeError):
            getattr(changed, name)
