"""What every method stands on: models, their families, surgery, checkpoints, calibration, and what a stage is."""
