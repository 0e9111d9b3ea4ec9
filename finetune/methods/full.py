"""Every parameter is trained."""

from __future__ import annotations

from compress.core.bundle import Bundle
from finetune.method import Method

__all__ = ["Full"]


class Full(Method):
    """Train every parameter.  Devlin et al. 2019, arXiv 1810.04805, section 4."""

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return frozenset(name for name, parameter in bundle.model.named_parameters() if parameter.is_floating_point())
