"""The context of the methods' tests."""

from tests.finetune.methods.conftest import context

__all__ = ["context"]
