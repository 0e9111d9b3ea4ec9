"""The training: the Trainer around it, schedules, checkpoints and resume, running out of memory."""
