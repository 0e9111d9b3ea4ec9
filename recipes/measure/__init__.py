"""Sizes, speeds, qualities: everything that the report claims is measured here, in a fresh process for each row."""

from recipes.measure.directory import measure_directory
from recipes.measure.job import Job, Outcome, measure
from recipes.measure.logits import reference_logits

__all__ = ["Job", "Outcome", "measure", "measure_directory", "reference_logits"]
