"""Sensitivity scans: metric against sparsity by masking, without training."""
