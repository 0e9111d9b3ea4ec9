"""Knowledge distillation: student and teacher, losses, the teacher's cached outputs, recovery after a cut."""
