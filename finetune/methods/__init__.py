"""Fine-tuning methods, one file each: which parameters are trained, and the plan."""
