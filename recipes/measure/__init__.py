"""Sizes, speeds, qualities: everything that the report claims is measured here, in a fresh process for each row."""

from recipes.measure.answers import reference_answers
from recipes.measure.directory import measure_directory
from recipes.measure.job import Job, Outcome, measure

__all__ = ["Job", "Outcome", "measure", "measure_directory", "reference_answers"]
