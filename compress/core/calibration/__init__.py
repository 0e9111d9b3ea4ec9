"""Passes over calibration data: batches, recorded activations, gradients per example."""
