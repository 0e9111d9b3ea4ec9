"""Measurements: size, speed, quality, memory and energy of every row, in a fresh process for each."""

from recipes.measure.answers import reference_answers
from recipes.measure.directory import measure_directory
from recipes.measure.job import Job, Outcome, measure

__all__ = ["Job", "Outcome", "measure", "measure_directory", "reference_answers"]
