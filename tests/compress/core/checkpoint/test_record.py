"""What a record says of a model's history."""

import pytest

from compress.core.checkpoint.record import history
from compress.core.errors import UnknownName
from compress.core.surgery.changes import KeepLayers
from tests.tiny import tiny_bundle


def test_a_change_of_a_package_that_is_not_imported_stays_as_it_was_written():
    data = {"kind": "of_another_package", "to": "dense"}
    known, other = history({"changes": [KeepLayers(kept=(0,), of=2).data(), data]})
    assert known == KeepLayers(kept=(0,), of=2) and other.data() == data
    with pytest.raises(UnknownName, match="kind of change 'of_another_package'"):
        tiny_bundle("bert").changed_by(other)
