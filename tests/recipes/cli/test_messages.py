"""What a command says on stderr."""

import logging

from recipes.cli.messages import one_message


def test_warnings_are_told_on_stderr(capsys):
    with one_message():
        logging.getLogger("finetune.training.out_of_memory").warning("memory ran out with batches of %s rows", 8)
    assert "memory ran out with batches of 8 rows" in capsys.readouterr().err
    assert not logging.getLogger("finetune").handlers
