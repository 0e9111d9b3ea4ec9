"""What a training is asked for: its plan, its objective and hooks. `finetune.training` is the training itself."""
